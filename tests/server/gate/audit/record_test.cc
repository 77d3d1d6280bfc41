#include "server/gate/audit/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace strongroom::audit {
namespace {

using ::testing::EndsWith;

std::string LineOf(const Record& record) {
  std::string members;
  AppendCall(record, members);
  return absl::StrCat("{\"seq\":1", members, "}");
}

nlohmann::json Parsed(const Record& record) { return nlohmann::json::parse(LineOf(record)); }

TEST(RecordTest, FieldsHaveTheirOrder) {
  const std::map<std::string, std::string> context = {{"b", "2"}, {"a", "1"}};
  Record record;
  record.request_id = "r";
  record.principal = "orders";
  record.operation = "KmsService.Encrypt";
  record.key_id = "k";
  record.key_version_id = "v";
  record.context = &context;
  record.aad_sha256.emplace().fill(0xab);
  record.peer = "ipv4:127.0.0.1:4";
  record.target = "alias/a";
  record.grant_id = "g";
  record.dry_run = true;
  record.outcome = Outcome::kDenied;
  record.reason = "Forbidden.NoPermission";
  record.count = 7;
  record.duration_us = 12;
  std::string digest;
  for (int i = 0; i < 32; ++i) digest += "ab";
  EXPECT_EQ(
      LineOf(record),
      absl::StrCat(
          R"({"seq":1,"type":"call","request_id":"r","principal":"orders",)"
          R"("peer":"ipv4:127.0.0.1:4","operation":"KmsService.Encrypt","key_id":"k","key_version_id":"v",)"
          R"("context":{"a":"1","b":"2"},"aad_sha256":")",
          digest,
          R"(","target":"alias/a","grant_id":"g","dry_run":true,"outcome":"denied",)"
          R"("reason":"Forbidden.NoPermission","count":7,"duration_us":12})"));
}

TEST(RecordTest, EmptyFieldsAreLeftOut) {
  const std::map<std::string, std::string> context;
  Record record;
  record.context = &context;
  record.outcome = Outcome::kAllowed;
  EXPECT_EQ(LineOf(record), R"({"seq":1,"type":"call","outcome":"allowed","duration_us":0})");
}

TEST(RecordTest, NoTextBreaksOutOfItsField) {
  std::string all;
  for (int c = 0; c < 0x80; ++c) all.push_back(static_cast<char>(c));
  for (const std::string& text :
       {all, std::string("\",\"outcome\":\"allowed"), std::string("line\n{\"seq\":2}"),
        std::string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91")}) {
    const std::map<std::string, std::string> context = {{text, text}};
    Record record;
    record.principal = text;
    record.context = &context;
    const std::string line = LineOf(record);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const nlohmann::json object = nlohmann::json::parse(line);
    EXPECT_EQ(object["principal"], text);
    EXPECT_EQ(object["context"][text], text);
    EXPECT_EQ(object["outcome"], "failed");
  }
}

TEST(RecordTest, WhatIsNotUtf8IsReplaced) {
  const std::string r = "\xef\xbf\xbd";
  const std::map<std::string, std::string> cases = {
      {"a\xff"
       "b",
       "a" + r + "b"},
      {"\x80", r},
      {"end\xe2\x82", "end" + r + r},
      {"\xc0\xaf", r + r},                  // overlong
      {"\xe0\x80\xaf", r + r + r},          // overlong
      {"\xed\xa0\x80", r + r + r},          // a surrogate
      {"\xf4\x90\x80\x80", r + r + r + r},  // beyond U+10FFFF
      {"\xf5", r},
      {"\xc3\"", r + "\""},
  };
  for (const auto& [text, shown] : cases) {
    Record record;
    record.principal = text;
    // Strict: nlohmann's parser refuses what is not UTF-8.
    EXPECT_EQ(Parsed(record)["principal"], shown);
  }
}

TEST(RecordTest, LongTextsAreCutBetweenCharacters) {
  Record record;
  const std::string ascii(kLongestText + 44, 'x');
  record.principal = ascii;
  EXPECT_EQ(Parsed(record)["principal"], std::string(kLongestText, 'x'));
  for (int lead = 0; lead < 4; ++lead) {
    std::string text(lead, 'x');
    while (text.size() < kLongestText + 44) text += "\xf0\x9f\x94\x91";
    record.key_id = text;
    const std::string shown = Parsed(record)["key_id"];
    EXPECT_LE(shown.size(), kLongestText);
    EXPECT_GT(shown.size(), kLongestText - 4);
    EXPECT_THAT(shown, EndsWith("\xf0\x9f\x94\x91"));
  }
}

TEST(RecordTest, LongContextIsCutAndSaysSo) {
  Record record;
  std::map<std::string, std::string> context = {{"a", std::string(8191, 'x')}};
  record.context = &context;
  nlohmann::json object = Parsed(record);
  EXPECT_EQ(object["context"]["a"].get<std::string>().size(), 8191u);
  EXPECT_FALSE(object.contains("context_cut"));

  context["b"] = "2";
  object = Parsed(record);
  EXPECT_EQ(object["context"].size(), 1u);
  EXPECT_EQ(object["context_cut"], true);

  context = {{"a", std::string(9000, 'x')}, {"b", "2"}};
  object = Parsed(record);
  EXPECT_EQ(object["context"]["a"].get<std::string>().size(), 8191u);
  EXPECT_EQ(object["context_cut"], true);

  context = {{std::string(9000, 'k'), "v"}};
  object = Parsed(record);
  EXPECT_EQ(object["context"], nlohmann::json::object());
  EXPECT_EQ(object["context_cut"], true);
}

TEST(RecordTest, DestinationContextHasAPlaceOfItsOwn) {
  Record record;
  const std::map<std::string, std::string> before = {{"a", "old"}};
  const std::map<std::string, std::string> after = {{"a", "new"}, {"b", std::string(9000, 'x')}};
  record.context = &before;
  record.destination_context = &after;
  const nlohmann::json object = Parsed(record);
  EXPECT_EQ(object["context"], nlohmann::json({{"a", "old"}}));
  EXPECT_FALSE(object.contains("context_cut"));
  EXPECT_EQ(object["destination_context"]["a"], "new");
  EXPECT_EQ(object["destination_context_cut"], true);
}

TEST(TimeWriterTest, TimesHaveMicrosecondsAndAreUtc) {
  TimeWriter writer;
  const auto text = [&writer](int64_t micros) {
    std::string line;
    writer.Append(absl::FromUnixMicros(micros), line);
    return line;
  };
  EXPECT_EQ(text(1700000000000001), "2023-11-14T22:13:20.000001Z");
  EXPECT_EQ(text(1700000000999999), "2023-11-14T22:13:20.999999Z");
  EXPECT_EQ(text(1700000001000000), "2023-11-14T22:13:21.000000Z");
  EXPECT_EQ(text(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(text(-1), "1969-12-31T23:59:59.999999Z");
}

}  // namespace
}  // namespace strongroom::audit
