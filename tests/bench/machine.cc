#include "tests/bench/machine.h"

#include <grpcpp/grpcpp.h>
#include <openssl/crypto.h>
#include <sys/utsname.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace strongroom::bench {
namespace {

// What follows the colon in the first line that begins with `field`.
std::string FieldOf(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, field)) continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(line.find_first_of(":=") + 1)));
  }
  return "";
}

// Empty if Debian has no such package.
std::string PackageVersion(const std::string& package) {
  const std::string command =
      "dpkg-query --show --showformat='${Version}' " + package + " 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  char version[100] = {};
  if (pipe == nullptr || fgets(version, sizeof(version), pipe.get()) == nullptr) return "";
  return version;
}

}  // namespace

Json DescribeMachine() {
  utsname system = {};
  uname(&system);
  std::string name = FieldOf("/etc/os-release", "PRETTY_NAME");
  name.erase(std::remove(name.begin(), name.end(), '"'), name.end());
  std::ifstream load("/proc/loadavg");
  double load_average = 0;
  load >> load_average;
  return {{"processor", FieldOf("/proc/cpuinfo", "model name")},
          {"processors", std::thread::hardware_concurrency()},
          {"memory", FieldOf("/proc/meminfo", "MemTotal")},
          {"kernel", system.release},
          {"system", name},
          {"date", absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone())},
          {"load_before", load_average},
          {"grpc", grpc::Version()},
          {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
          {"softhsm", PackageVersion("libsofthsm2")}};
}

}  // namespace strongroom::bench
