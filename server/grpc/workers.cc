#include "server/grpc/workers.h"

#include <algorithm>
#include <utility>

namespace strongroom::grpc_server {

int SpareGrpcThreads() {
  // As gRPC 1.51 reckons them.
  const int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, 2, 16);
  return threads - 1;
}

Workers::Workers(int threads, size_t longest_line, int here)
    : longest_line_(longest_line), here_(here) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Workers::~Workers() {
  {
    MutexLock lock(mu_);
    ending_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

bool Workers::Run(absl::string_view whose, std::function<void()> work) {
  if (longest_line_ == 0) return false;
  bool wake = false;
  {
    MutexLock lock(mu_);
    if (ending_) return false;
    Line& line = lines_[whose];
    if (line.size() >= longest_line_) return false;
    line.push_back(std::move(work));
    ++waiting_;
    if (line.size() == 1) turns_.emplace_back(whose);
    wake = idle_ > 0;
  }
  if (wake) changed_.NotifyOne();
  return true;
}

bool Workers::RunQuick(absl::string_view whose, std::function<void()> work) {
  // Who comes later does not overtake those who wait.
  if (here_ == 0 || waiting_ > 0) return Run(whose, std::move(work));
  const bool here = ++working_here_ <= here_;
  if (here) work();
  --working_here_;
  return here || Run(whose, std::move(work));
}

std::function<void()> Workers::TakeNext() {
  std::string whose = std::move(turns_.front());
  turns_.pop_front();
  const auto line = lines_.find(whose);
  std::function<void()> work = std::move(line->second.front());
  line->second.pop_front();
  --waiting_;
  if (line->second.empty()) {
    lines_.erase(line);
  } else {
    turns_.push_back(std::move(whose));
  }
  return work;
}

void Workers::Work() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(mu_);
      ++idle_;
      while (turns_.empty() && !ending_) changed_.Wait(mu_);
      --idle_;
      if (turns_.empty()) return;
      work = TakeNext();
    }
    work();
  }
}

}  // namespace strongroom::grpc_server
