// What writing a record costs. By hand; its figures are for people.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "server/gate/audit/trail.h"
#include "tests/server/gate/audit/trail_fixture.h"

namespace strongroom::audit {
namespace {

void Measure(int threads, Trail::Fsync fsync, int records) {
  TrailFixture fixture;
  fixture.options.fsync = fsync;
  fixture.options.seal_interval = absl::Seconds(10);
  if (!fixture.Open().ok()) exit(1);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([&fixture, records] {
      const Record record = SampleRecord();
      for (int n = 0; n < records; ++n) {
        if (!fixture.trail().Write(record).ok()) exit(1);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const double nanos =
      std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
  printf("%-8s %d thread(s): %8.0f ns a record, %8.0f records a second\n",
         fsync == Trail::Fsync::kAlways ? "always" : "interval", threads,
         nanos / (threads * records), threads * records * 1e9 / nanos);
}

}  // namespace
}  // namespace strongroom::audit

int main() {
  using strongroom::audit::Measure;
  using strongroom::audit::Trail;
  for (int threads : {1, 3, 8}) Measure(threads, Trail::Fsync::kInterval, 200000 / threads);
  for (int threads : {1, 3, 8}) Measure(threads, Trail::Fsync::kAlways, 1000);

  // The parts that need no file.
  strongroom::audit::Record record = strongroom::audit::SampleRecord();
  std::string line;
  const auto begin = std::chrono::steady_clock::now();
  constexpr int kLines = 1000000;
  for (int i = 0; i < kLines; ++i) {
    line.clear();
    strongroom::audit::AppendCall(record, line);
  }
  const double nanos =
      std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
  printf("the text alone: %.0f ns, %zu bytes\n", nanos / kLines, line.size());
  return 0;
}
