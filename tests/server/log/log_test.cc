#include "server/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace strongroom {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// What is written to standard error, by lines. Each has to be JSON.
class LogTest : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::internal::CaptureStderr(); }
  void TearDown() override {
    if (!read_) ::testing::internal::GetCapturedStderr();
  }

  std::vector<nlohmann::json> Lines() {
    read_ = true;
    std::vector<nlohmann::json> lines;
    const std::string text = ::testing::internal::GetCapturedStderr();
    for (const std::string& line :
         std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
      lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }

 private:
  bool read_ = false;
};

TEST_F(LogTest, LineHasTimeLevelEventAndFields) {
  const absl::Time before = absl::Now();
  Log(LogLevel::kInfo)
      .Write(LogLevel::kInfo, "call", {{"principal", "local"}, {"duration_us", int64_t{42}}});
  const std::vector<nlohmann::json> lines = Lines();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].size(), 5u);
  EXPECT_EQ(lines[0]["level"], "info");
  EXPECT_EQ(lines[0]["event"], "call");
  EXPECT_EQ(lines[0]["principal"], "local");
  EXPECT_EQ(lines[0]["duration_us"], 42);
  const std::string text = lines[0]["time"];
  EXPECT_EQ(text.back(), 'Z');
  absl::Time time;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) << text;
  // Microseconds are written.
  EXPECT_GE(time, before - absl::Microseconds(1));
  EXPECT_LE(time, absl::Now());
}

TEST_F(LogTest, LinesBelowTheLeastLevelAreNotWritten) {
  Log log(LogLevel::kWarning);
  log.Write(LogLevel::kDebug, "debug", {});
  log.Write(LogLevel::kInfo, "info", {});
  log.Write(LogLevel::kWarning, "warning", {});
  log.Write(LogLevel::kError, "error", {});
  std::vector<std::string> levels;
  for (const nlohmann::json& line : Lines()) levels.push_back(line["level"]);
  EXPECT_THAT(levels, ElementsAre("warning", "error"));
}

TEST_F(LogTest, EveryLevelHasItsName) {
  Log log(LogLevel::kDebug);
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    log.Write(level, "event", {});
  }
  std::vector<std::string> levels;
  for (const nlohmann::json& line : Lines()) levels.push_back(line["level"]);
  EXPECT_THAT(levels, ElementsAre("debug", "info", "warning", "error"));
}

TEST_F(LogTest, NoTextBreaksOutOfItsField) {
  std::string control;
  for (char c = 1; c < 0x20; ++c) control.push_back(c);
  const std::vector<std::string> texts = {
      "",
      "\",\"level\":\"error",
      "\\\"",
      "line\n{\"event\":\"forged\"}",
      "\x7f\x1b[31m",
      "{} {0} %v %s",
      "\xc3\xa4\xe2\x82\xac",
      std::string("\0after", 6),
      control,
  };
  Log log(LogLevel::kInfo);
  for (const std::string& text : texts) log.Write(LogLevel::kInfo, text, {{"field", text}});
  const std::vector<nlohmann::json> lines = Lines();
  ASSERT_EQ(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(lines[i]["event"], texts[i]);
    EXPECT_EQ(lines[i]["field"], texts[i]);
    EXPECT_EQ(lines[i]["level"], "info");
  }
}

TEST_F(LogTest, LinesOfManyThreadsDoNotMix) {
  constexpr int kThreads = 4;
  constexpr int kLines = 200;
  Log log(LogLevel::kInfo);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&log, i] {
      const std::string text(100, static_cast<char>('a' + i));
      for (int n = 0; n < kLines; ++n) log.Write(LogLevel::kInfo, text, {{"n", int64_t{n}}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Lines(), SizeIs(kThreads * kLines));
}

}  // namespace
}  // namespace strongroom
