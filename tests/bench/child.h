#ifndef STRONGROOM_TESTS_BENCH_CHILD_H_
#define STRONGROOM_TESTS_BENCH_CHILD_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/bench/bench.h"

namespace strongroom::bench {

// A child process, which is ended (SIGTERM, waited for) when this goes.
class Child {
 public:
  // Standard output and standard error go to files. `environment` is added to this process's.
  Child(const std::vector<std::string>& command, const std::string& output_path,
        const std::string& log_path, const std::map<std::string, std::string>& environment);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // Returns its exit status (waitpid) once it has ended.
  int Wait();

 private:
  pid_t pid_ = 0;
};

// Processor time that a process has used, of all its threads.
double CpuSecondsOf(pid_t process);
// Memory in RAM, in MiB: "VmRSS" (now) or "VmHWM" (at most).
double MemoryMibOf(pid_t process, const std::string& field);

// Work that needs a process of its own: it holds a token, or must not share a client's threads.
// This program is started again with the task's name and arguments (--task).
using Task = Json (*)(const Json& arguments);

class TaskProcess {
 public:
  TaskProcess(const Bench& bench, const std::string& task, const Json& arguments,
              const std::map<std::string, std::string>& environment = {});
  // What it returned, once it has ended.
  Json Result();
  pid_t pid() const { return child_.pid(); }
  std::string log_path() const { return output_path_ + ".log"; }

 private:
  const std::string output_path_;
  Child child_;
};

}  // namespace strongroom::bench

#endif  // STRONGROOM_TESTS_BENCH_CHILD_H_
