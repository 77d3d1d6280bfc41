#include "tests/bench/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace strongroom::bench {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string NewPath(const Bench& bench, const std::string& name) {
  static std::atomic<int> count = 0;
  return absl::StrCat(bench.folder, "/", name, "-", ++count);
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const std::string& output_path,
             const std::string& log_path, const std::map<std::string, std::string>& environment) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    if (environment.count(text.substr(0, text.find('='))) == 0) variables.push_back(text);
  }
  for (const auto& [name, value] : environment) variables.push_back(absl::StrCat(name, "=", value));
  std::vector<std::string> words = command;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (posix_spawn(&pid_, words[0].c_str(), &actions, nullptr, Pointers(words).data(),
                  Pointers(variables).data()) != 0) {
    Die("cannot start " + words[0]);
  }
  posix_spawn_file_actions_destroy(&actions);
}

Child::~Child() {
  if (pid_ == 0) return;
  Signal(SIGTERM);
  Wait();
}

void Child::Signal(int signal) const { kill(pid_, signal); }

int Child::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return status;
}

double CpuSecondsOf(pid_t process) {
  clockid_t clock;
  timespec used = {};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

double MemoryMibOf(pid_t process, const std::string& field) {
  std::ifstream status(absl::StrCat("/proc/", process, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (absl::StartsWith(line, field + ":")) {
      return std::atof(line.c_str() + field.size() + 1) / 1024;
    }
  }
  return 0;
}

TaskProcess::TaskProcess(const Bench& bench, const std::string& task, const Json& arguments,
                         const std::map<std::string, std::string>& environment)
    : output_path_(NewPath(bench, task)),
      child_({bench.self, "--task", task, arguments.dump()}, output_path_, log_path(),
             environment) {}

Json TaskProcess::Result() {
  if (child_.Wait() != 0) Die("a task failed: " + Content(log_path()));
  return Json::parse(Content(output_path_));
}

}  // namespace strongroom::bench
