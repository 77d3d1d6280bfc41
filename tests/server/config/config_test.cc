#include "server/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "hsm/pair_spec.h"
#include "server/core/pair_reservoir.h"
#include "server/gate/policy.h"
#include "server/gate/rate_limiter.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::Optional;
using ::testing::Pair;
using ::testing::StartsWith;
using testing::StatusIs;

constexpr char kComplete[] = R"(# A comment.
development: false
reflection: false
listen:
  unix:
    - path: /run/strongroom/orders.sock
      mode: "0660"
      principal: orders
    - path: /run/strongroom/etcd.sock
      principal: spiffe://bank.example/etcd
  tcp:
    - address: 0.0.0.0:7443
    - address: "[::]:7443"
tls:
  certificate: /etc/strongroom/tls/server.pem
  private_key: /etc/strongroom/tls/server.key
  client_ca: /etc/strongroom/tls/clients.pem
  client_crl: /etc/strongroom/tls/clients.crl
token:
  module: /usr/lib/softhsm/libsofthsm2.so
  token: pkcs11:token=strongroom;serial=0123456789abcdef
  pin_file: /run/credentials/strongroomd.service/pin
  lanes: 32
store:
  path: /var/lib/strongroom/store.db
policy:
  - id: operators
    principals: ["spiffe://bank.example/ops/*", anna]
    operations: ["group:administer"]
  - principals: [orders]
    operations: ["group:use", GenerateRandom]
    conditions:
      equals: {tenant: a}
      subset: {purpose: "invoices, paid", number: 7}
audit:
  directory: /var/log/strongroom/audit
  sync: always
  sync_interval_ms: 60000
  seal_interval_seconds: 3600
  max_file_mib: 65536
  max_file_hours: 8760
limits:
  rates:
    default:
      data_key: {rate: 0.001, burst: 1}
      key_pair: {rate: 1000000, burst: 1000000}
      decrypt: {rate: 2.5}
      random: {rate: 0.5}
      management: {rate: 1e2, burst: 3}
    principals:
      - principal: orders
        data_key: {rate: 5000, burst: 10000}
      - principal: spiffe://bank.example/etcd
        decrypt: {rate: 7}
  concurrent_pair_generations: 4
  connections: 100000
  streams_per_connection: 10000
log:
  level: warning
shutdown_grace_seconds: 0
)";

constexpr char kToken[] =
    "token: {module: /usr/lib/softhsm/libsofthsm2.so, token: strongroom, pin_file: /run/pin}\n";
constexpr char kStore[] = "store: {path: /var/lib/strongroom/store.db}\n";
constexpr char kListen[] = "listen: {unix: [{path: /run/s.sock, principal: orders}]}\n";
constexpr char kPolicy[] = "policy: [{principals: [anna], operations: [\"*\"]}]\n";
constexpr char kAudit[] = "audit: {directory: /var/log/audit}\n";
// What else is required. Behind the rest, so that lines have the same numbers.
const std::string kPolicyAndAudit = absl::StrCat(kPolicy, kAudit);

absl::StatusOr<Config> Parse(const std::string& yaml) { return ParseConfig("s.yaml", yaml); }

// A file that is right, with more in it, from line 4 on.
std::string RightAnd(const std::string& more) {
  return absl::StrCat(kToken, kStore, kListen, more, kPolicyAndAudit);
}
// The same for what is in the place of the policy, and of the audit section.
std::string RightWithPolicy(const std::string& policy) {
  return absl::StrCat(kToken, kStore, kListen, policy, kAudit);
}
std::string RightWithAudit(const std::string& audit) {
  return absl::StrCat(kToken, kStore, kListen, audit, kPolicy);
}

// A file with this list of TCP listeners, in line 3.
std::string WithTcp(const std::string& listeners, const std::string& more) {
  return absl::StrCat(kToken, kStore, "listen: {tcp: [", listeners, "]}\n", more, kPolicyAndAudit);
}

// The lines of the error.
std::vector<std::string> Mistakes(const std::string& yaml) {
  const absl::StatusOr<Config> config = Parse(yaml);
  if (config.ok()) return {};
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return absl::StrSplit(std::string(config.status().message()), '\n');
}

// A limit, in the order of the classes.
auto IsLimit(double rate, int burst) {
  return Optional(
      AllOf(Field(&gate::RateLimit::rate, rate), Field(&gate::RateLimit::burst, burst)));
}
auto IsNoLimit() { return Not(Optional(_)); }

TEST(ConfigTest, CompleteFileIsRead) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(kComplete));
  EXPECT_FALSE(config.development);
  EXPECT_FALSE(config.reflection);
  ASSERT_EQ(config.unix_sockets.size(), 2u);
  EXPECT_EQ(config.unix_sockets[0].path, "/run/strongroom/orders.sock");
  EXPECT_EQ(config.unix_sockets[0].mode, 0660);
  EXPECT_EQ(config.unix_sockets[0].principal, "orders");
  EXPECT_EQ(config.unix_sockets[1].path, "/run/strongroom/etcd.sock");
  EXPECT_EQ(config.unix_sockets[1].mode, 0600);
  EXPECT_EQ(config.unix_sockets[1].principal, "spiffe://bank.example/etcd");
  ASSERT_EQ(config.tcp.size(), 2u);
  EXPECT_EQ(config.tcp[0].address, "0.0.0.0:7443");
  EXPECT_EQ(config.tcp[1].address, "[::]:7443");
  ASSERT_TRUE(config.tls.has_value());
  EXPECT_EQ(config.tls->certificate, "/etc/strongroom/tls/server.pem");
  EXPECT_EQ(config.tls->private_key, "/etc/strongroom/tls/server.key");
  EXPECT_EQ(config.tls->client_ca, "/etc/strongroom/tls/clients.pem");
  EXPECT_EQ(config.tls->client_crl, "/etc/strongroom/tls/clients.crl");
  EXPECT_EQ(config.token.module, "/usr/lib/softhsm/libsofthsm2.so");
  EXPECT_EQ(config.token.token, "pkcs11:token=strongroom;serial=0123456789abcdef");
  EXPECT_EQ(config.token.pin_file, "/run/credentials/strongroomd.service/pin");
  EXPECT_EQ(config.token.lanes, 32);
  EXPECT_EQ(config.store_path, "/var/lib/strongroom/store.db");
  EXPECT_THAT(
      config.policy.statements(),
      ElementsAre(gate::StatementText{.id = "operators",
                                      .principals = {"spiffe://bank.example/ops/*", "anna"},
                                      .operations = {"group:administer"}},
                  gate::StatementText{
                      .principals = {"orders"},
                      .operations = {"group:use", "GenerateRandom"},
                      .conditions = {.equals = {{"tenant", "a"}},
                                     .subset = {{"purpose", "invoices, paid"}, {"number", "7"}}}}));
  ASSERT_TRUE(config.audit.has_value());
  EXPECT_EQ(config.audit->directory, "/var/log/strongroom/audit");
  EXPECT_TRUE(config.audit->sync_always);
  EXPECT_EQ(config.audit->sync_interval, std::chrono::minutes(1));
  EXPECT_EQ(config.audit->seal_interval, std::chrono::hours(1));
  EXPECT_EQ(config.audit->max_file_bytes, int64_t{1} << 36);
  EXPECT_EQ(config.audit->max_file_age, std::chrono::hours(8760));
  EXPECT_THAT(config.rates.defaults,
              ElementsAre(IsLimit(0.001, 1), IsLimit(1e6, 1000000), IsLimit(2.5, 2),
                          IsLimit(0.5, 1), IsLimit(100, 3)));
  EXPECT_THAT(config.rates.principals,
              ElementsAre(Pair("orders", ElementsAre(IsLimit(5000, 10000), IsNoLimit(), IsNoLimit(),
                                                     IsNoLimit(), IsNoLimit())),
                          Pair("spiffe://bank.example/etcd",
                               ElementsAre(IsNoLimit(), IsNoLimit(), IsLimit(7, 7), IsNoLimit(),
                                           IsNoLimit()))));
  EXPECT_EQ(config.concurrent_pair_generations, 4);
  EXPECT_EQ(config.connections, 100000);
  EXPECT_EQ(config.streams_per_connection, 10000);
  EXPECT_EQ(config.log_level, LogLevel::kWarning);
  EXPECT_EQ(config.shutdown_grace, std::chrono::seconds(0));
}

TEST(ConfigTest, WhatIsLeftOutHasADefault) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(RightAnd("")));
  EXPECT_FALSE(config.development);
  EXPECT_TRUE(config.reflection);
  EXPECT_EQ(config.unix_sockets[0].mode, 0600);
  EXPECT_THAT(config.tcp, IsEmpty());
  EXPECT_FALSE(config.tls.has_value());
  ASSERT_TRUE(config.audit.has_value());
  EXPECT_FALSE(config.audit->sync_always);
  EXPECT_EQ(config.audit->sync_interval, std::chrono::seconds(1));
  EXPECT_EQ(config.audit->seal_interval, std::chrono::seconds(10));
  EXPECT_EQ(config.audit->max_file_bytes, 64 << 20);
  EXPECT_EQ(config.audit->max_file_age, std::chrono::hours(24));
  EXPECT_THAT(config.rates.defaults, Each(IsNoLimit()));
  EXPECT_THAT(config.rates.principals, IsEmpty());
  EXPECT_EQ(config.concurrent_pair_generations, 1);
  EXPECT_EQ(config.connections, 1000);
  EXPECT_EQ(config.streams_per_connection, 100);
  EXPECT_GT(config.token.lanes, config.concurrent_pair_generations);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_EQ(config.shutdown_grace, std::chrono::seconds(10));
}

TEST(ConfigTest, RevocationListsAreOptionalAndAPath) {
  const std::string tls = "tls: {certificate: /c, private_key: /k, client_ca: /a";
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(RightAnd(absl::StrCat(tls, "}\n"))));
  EXPECT_EQ(config.tls->client_crl, "");
  EXPECT_THAT(Mistakes(RightAnd(absl::StrCat(tls, ", client_crl: clients.crl}\n"))),
              ElementsAre(StartsWith("s.yaml:4: tls.client_crl: is \"clients.crl\"; ")));
}

TEST(ConfigTest, ConnectionsAndStreamsAreLimited) {
  for (const char* wrong : {"0", "-1", "100001", "many", "1.5"}) {
    EXPECT_THAT(Mistakes(RightAnd(absl::StrCat("limits: {connections: ", wrong, "}\n"))),
                ElementsAre("s.yaml:4: limits.connections: has to be a whole number from 1 to "
                            "100000"));
  }
  for (const char* wrong : {"0", "-1", "10001", "many", "1.5"}) {
    EXPECT_THAT(
        Mistakes(RightAnd(absl::StrCat("limits: {streams_per_connection: ", wrong, "}\n"))),
        ElementsAre("s.yaml:4: limits.streams_per_connection: has to be a whole number from 1 to "
                    "10000"));
  }
}

TEST(ConfigTest, EveryMistakeIsReportedAtOnceInTheOrderOfLines) {
  EXPECT_THAT(
      Mistakes(R"(development: maybe
listen:
  unix:
    - path: orders.sock
      mode: "0666"
    - path: /run/b.sock
      principal: two words
  tcp:
    - address: 10.0.0.1
tls:
  certificate: server.pem
token:
  token: strongroom
  lanes: many
  pin: "1234"
store:
limits:
  concurrent_pair_generations: 0
colour: blue
colour: red
)"),
      ElementsAre(StartsWith("s.yaml:1: audit: is required"),
                  StartsWith("s.yaml:1: development: has to be true or false"),
                  StartsWith("s.yaml:1: policy: is required"),
                  StartsWith("s.yaml:4: listen.unix[0].path: is \"orders.sock\"; "
                             "it has to be an absolute path"),
                  StartsWith("s.yaml:4: listen.unix[0].principal: is required"),
                  StartsWith("s.yaml:5: listen.unix[0].mode: is \"0666\"; valid are"),
                  StartsWith("s.yaml:7: listen.unix[1].principal: \"two words\" does not name "
                             "a principal; a right one is"),
                  StartsWith("s.yaml:9: listen.tcp[0].address: is \"10.0.0.1\"; "
                             "a right one is HOST:PORT"),
                  StartsWith("s.yaml:10: tls.client_ca: is required"),
                  StartsWith("s.yaml:10: tls.private_key: is required"),
                  StartsWith("s.yaml:11: tls.certificate: is \"server.pem\"; "
                             "it has to be an absolute path"),
                  StartsWith("s.yaml:12: token.module: is required"),
                  StartsWith("s.yaml:12: token.pin_file: is required"),
                  StartsWith("s.yaml:14: token.lanes: has to be a whole number"),
                  StartsWith("s.yaml:15: token.pin: is not a field; valid are lanes, "
                             "module, pin_file, token"),
                  StartsWith("s.yaml:16: store: has to be a map"),
                  StartsWith("s.yaml:18: limits.concurrent_pair_generations: has to be a "
                             "whole number from 1 to"),
                  StartsWith("s.yaml:19: colour: is not a field"),
                  StartsWith("s.yaml:20: colour: is not a field")));
}

TEST(ConfigTest, MissingSectionsAreReported) {
  EXPECT_THAT(Mistakes("development: true\n"),
              ElementsAre(StartsWith("s.yaml:1: listen: is required"),
                          StartsWith("s.yaml:1: policy: is required"),
                          StartsWith("s.yaml:1: store: is required"),
                          StartsWith("s.yaml:1: token: is required")));
  EXPECT_THAT(Mistakes(absl::StrCat(kToken, kStore, kListen)),
              ElementsAre("s.yaml:1: audit: is required (it may be left out in development only)",
                          StartsWith("s.yaml:1: policy: is required; name at least who")));
}

TEST(ConfigTest, WhatIsNoMapOfFieldsIsReported) {
  EXPECT_THAT(Mistakes(""), ElementsAre(AllOf(StartsWith("s.yaml:1: "), HasSubstr("a map"))));
  EXPECT_THAT(Mistakes("- a\n- b\n"), ElementsAre(HasSubstr("a map")));
  EXPECT_THAT(Mistakes("text"), ElementsAre(HasSubstr("a map")));
  EXPECT_THAT(Mistakes("listen:\n  tcp: [\nstore: }"),
              ElementsAre(AllOf(StartsWith("s.yaml:3: "), HasSubstr("is not YAML"))));
  EXPECT_THAT(Mistakes(RightAnd("log: info\n")), ElementsAre("s.yaml:4: log: has to be a map of "
                                                             "fields"));
  EXPECT_THAT(Mistakes(RightAnd("log: [info]\n")),
              ElementsAre("s.yaml:4: log: has to be a map of fields"));
  EXPECT_THAT(
      Mistakes(absl::StrCat(kToken, kStore, "listen: {unix: /run/s.sock}\n", kPolicyAndAudit)),
      Contains(StartsWith("s.yaml:3: listen.unix: has to be a list")));
  EXPECT_THAT(
      Mistakes(absl::StrCat(kToken, kStore, "listen: {unix: [/run/s.sock]}\n", kPolicyAndAudit)),
      Contains(StartsWith("s.yaml:3: listen.unix[0]: has to be a map of fields")));
}

TEST(ConfigTest, FieldThatIsNoTextIsReported) {
  for (const char* wrong : {"{a: b}", "[a]", "\"\"", "~", ""}) {
    EXPECT_THAT(
        Mistakes(absl::StrCat(kToken, kListen, "store:\n  path: ", wrong, "\n", kPolicyAndAudit)),
        ElementsAre("s.yaml:4: store.path: has to be a text"))
        << wrong;
  }
}

TEST(ConfigTest, UnknownFieldsAreReportedWhereverTheyAre) {
  EXPECT_THAT(Mistakes(RightAnd("lanes: 4\n")),
              ElementsAre(AllOf(StartsWith("s.yaml:4: lanes: is not a field; valid are"),
                                HasSubstr("development"), HasSubstr("token"))));
  EXPECT_THAT(Mistakes(RightAnd("log: {level: info, file: /var/log/s}\n")),
              ElementsAre("s.yaml:4: log.file: is not a field; valid are level"));
  EXPECT_THAT(Mistakes(WithTcp("{address: 127.0.0.1:1, tls: no}", "development: true\n")),
              ElementsAre("s.yaml:3: listen.tcp[0].tls: is not a field; valid are address"));
  EXPECT_THAT(
      Mistakes(absl::StrCat(kToken, kStore,
                            "listen: {unix: [{path: /s, principal: p, owner: root}]}\n",
                            kPolicyAndAudit)),
      ElementsAre(
          "s.yaml:3: listen.unix[0].owner: is not a field; valid are mode, path, principal"));
  EXPECT_THAT(Mistakes(RightAnd("? [a, b]\n: c\n")),
              ElementsAre(HasSubstr("the name of a field has to be a text")));
}

TEST(ConfigTest, FieldsThatAreThereTwiceAreReported) {
  EXPECT_THAT(Mistakes(RightAnd("development: true\ndevelopment: false\n")),
              ElementsAre("s.yaml:5: development: is there twice"));
  EXPECT_THAT(Mistakes(RightAnd("store: {path: /other.db}\n")),
              ElementsAre("s.yaml:4: store: is there twice"));
  EXPECT_THAT(Mistakes(RightAnd("log:\n  level: info\n  level: debug\n")),
              ElementsAre("s.yaml:6: log.level: is there twice"));
}

TEST(ConfigTest, NumbersHaveTheirRange) {
  for (const char* wrong : {"0", "-1", "1025", "1.5", "0x10", "many", "99999999999999999999"}) {
    EXPECT_THAT(Mistakes(absl::StrCat(kStore, kListen,
                                      "token: {module: /m, token: t, pin_file: /p, lanes:", " ",
                                      wrong, "}\n", kPolicyAndAudit)),
                ElementsAre("s.yaml:3: token.lanes: has to be a whole number from 1 to 1024"))
        << wrong;
  }
  for (const char* wrong : {"0", "257"}) {
    EXPECT_THAT(
        Mistakes(RightAnd(absl::StrCat("limits: {concurrent_pair_generations: ", wrong, "}\n"))),
        ElementsAre("s.yaml:4: limits.concurrent_pair_generations: has to be a whole number from 1 "
                    "to 256"));
  }
  for (const char* wrong : {"-1", "601"}) {
    EXPECT_THAT(Mistakes(RightAnd(absl::StrCat("shutdown_grace_seconds: ", wrong, "\n"))),
                ElementsAre("s.yaml:4: shutdown_grace_seconds: has to be a whole number from 0 to "
                            "600"));
  }
}

TEST(ConfigTest, SwitchesAreTrueOrFalse) {
  for (const char* field : {"development", "reflection"}) {
    for (const char* wrong : {"yes", "on", "1", "True", "[true]", "\"\""}) {
      EXPECT_THAT(Mistakes(RightAnd(absl::StrCat(field, ": ", wrong, "\n"))),
                  ElementsAre(absl::StrCat("s.yaml:4: ", field, ": has to be true or false")));
    }
  }
}

TEST(ConfigTest, LanesAreMoreThanThePairsThatAreGeneratedAtATime) {
  const auto with = [](int lanes, int pairs) {
    return absl::StrCat(kStore, kListen, "limits: {concurrent_pair_generations: ", pairs, "}\n",
                        "token: {module: /m, token: t, pin_file: /p, lanes: ", lanes, "}\n",
                        kPolicyAndAudit);
  };
  EXPECT_OK(Parse(with(2, 1)));
  EXPECT_OK(Parse(with(5, 4)));
  for (const auto& [lanes, pairs] : {std::pair{1, 1}, std::pair{4, 4}, std::pair{2, 8}}) {
    EXPECT_THAT(
        Mistakes(with(lanes, pairs)),
        ElementsAre(AllOf(StartsWith(absl::StrCat("s.yaml:4: token.lanes: is ", lanes)),
                          HasSubstr(absl::StrCat("limits.concurrent_pair_generations (", pairs)))));
  }
  ASSERT_OK_AND_ASSIGN(const Config config,
                       Parse(RightAnd("limits: {concurrent_pair_generations: 256}\n")));
  EXPECT_GT(config.token.lanes, 256);
}

// --- Listening -----------------------------------------------------------------------------------

TEST(ConfigTest, SocketIsForItsOwnerOrItsGroup) {
  const auto with = [](const std::string& mode) {
    return absl::StrCat(kToken, kStore, "listen: {unix: [{path: /s, principal: p, mode: ", mode,
                        "}]}\n", kPolicyAndAudit);
  };
  for (const char* right : {"0600", "\"0600\"", "600"}) {
    ASSERT_OK_AND_ASSIGN(const Config config, Parse(with(right)));
    EXPECT_EQ(config.unix_sockets[0].mode, 0600) << right;
  }
  for (const char* right : {"0660", "\"0660\"", "660"}) {
    ASSERT_OK_AND_ASSIGN(const Config config, Parse(with(right)));
    EXPECT_EQ(config.unix_sockets[0].mode, 0660) << right;
  }
  for (const char* wrong : {"0666", "0777", "0606", "0602", "384", "rw", "-1"}) {
    EXPECT_THAT(Mistakes(with(wrong)),
                ElementsAre(absl::StrCat("s.yaml:3: listen.unix[0].mode: is \"", wrong,
                                         "\"; valid are \"0600\" and \"0660\"")));
  }
}

TEST(ConfigTest, PrincipalIsOneWordThatCanBePrinted) {
  const auto with = [](const std::string& principal) {
    return absl::StrCat(kToken, kStore, "listen: {unix: [{path: /s, principal: \"", principal,
                        "\"}]}\n", kPolicyAndAudit);
  };
  EXPECT_OK(Parse(with(std::string(256, 'p'))));
  for (const std::string& wrong :
       {std::string("two words"), std::string("tab\\there"), std::string("new\\nline"),
        std::string("\\xe4"), std::string(257, 'p'), std::string("*")}) {
    EXPECT_THAT(Mistakes(with(wrong)),
                ElementsAre(AllOf(StartsWith("s.yaml:3: listen.unix[0].principal: "),
                                  HasSubstr("1 to 256 printable ASCII characters without blanks"))))
        << wrong;
  }
  EXPECT_THAT(Mistakes(with("")),
              ElementsAre("s.yaml:3: listen.unix[0].principal: has to be a text"));
}

TEST(ConfigTest, SocketStandsForOnePrincipal) {
  EXPECT_THAT(Mistakes(absl::StrCat(kToken, kStore, R"(listen:
  unix:
    - {path: /s, principal: a}
    - {path: /s, principal: b}
)",
                                    kPolicyAndAudit)),
              ElementsAre(StartsWith("s.yaml:6: listen.unix[1].path: is listened on twice")));
}

TEST(ConfigTest, SomethingHasToBeListenedOn) {
  for (const char* nothing : {"{}", "{unix: [], tcp: []}"}) {
    EXPECT_THAT(Mistakes(absl::StrCat(kToken, kStore, "listen: ", nothing, "\n", kPolicyAndAudit)),
                ElementsAre(StartsWith("s.yaml:3: listen: names nothing to listen on")));
  }
}

TEST(ConfigTest, AddressIsAHostAndAPort) {
  for (const char* right : {"127.0.0.1:7443", "127.0.0.1:0", "localhost:65535", "\"[::1]:7443\""}) {
    EXPECT_OK(Parse(WithTcp(absl::StrCat("{address: ", right, "}"), "development: true\n")));
  }
  for (const char* wrong : {"127.0.0.1", "127.0.0.1:", ":7443", "127.0.0.1:65536", "127.0.0.1:-1",
                            "127.0.0.1:http", "7443"}) {
    EXPECT_THAT(
        Mistakes(WithTcp(absl::StrCat("{address: \"", wrong, "\"}"), "development: true\n")),
        ElementsAre(StartsWith(absl::StrCat("s.yaml:3: listen.tcp[0].address: is \"", wrong,
                                            "\"; a right one is HOST:PORT"))))
        << wrong;
  }
}

TEST(ConfigTest, PlaintextIsForDevelopmentOnly) {
  for (const char* development : {"", "development: false\n"}) {
    EXPECT_THAT(Mistakes(WithTcp("{address: 127.0.0.1:7443}", development)),
                ElementsAre(AllOf(StartsWith("s.yaml:3: listen.tcp[0].address: needs a \"tls\""),
                                  HasSubstr("development: true"))));
  }
  EXPECT_OK(Parse(WithTcp("{address: 127.0.0.1:7443}", "development: true\n")));
}

TEST(ConfigTest, PlaintextIsForLoopbackOnly) {
  for (const char* loopback : {"127.0.0.1:1", "127.255.255.254:1", "localhost:1", "[::1]:1"}) {
    EXPECT_OK(Parse(WithTcp(absl::StrCat("{address: \"", loopback, "\"}"), "development: true\n")))
        << loopback;
  }
  for (const char* other : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1", "bank.example:1",
                            // Names, which stand for any address.
                            "127.0.0.1.bank.example:1", "127.bank.example:1",
                            "localhost.bank.example:1", "127.1:1", "[::ffff:10.0.0.1]:1"}) {
    EXPECT_THAT(
        Mistakes(WithTcp(absl::StrCat("{address: \"", other, "\"}"), "development: true\n")),
        ElementsAre(AllOf(StartsWith("s.yaml:3: listen.tcp[0].address: is "),
                          HasSubstr("plaintext is only for loopback"))))
        << other;
  }
}

TEST(ConfigTest, TlsIsForEveryAddress) {
  const std::string tls = "tls: {certificate: /c, private_key: /k, client_ca: /a}\n";
  for (const char* development : {"", "development: true\n"}) {
    EXPECT_OK(Parse(WithTcp("{address: \"0.0.0.0:7443\"}, {address: \"bank.example:7443\"}",
                            absl::StrCat(tls, development))));
  }
  // Without a CA for the clients there is no TLS.
  EXPECT_THAT(
      Mistakes(WithTcp("{address: \"0.0.0.0:7443\"}", "tls: {certificate: /c, private_key: /k}\n")),
      ElementsAre("s.yaml:4: tls.client_ca: is required"));
}

TEST(ConfigTest, LogHasFourLevels) {
  const auto level_of = [](const char* name) {
    const absl::StatusOr<Config> config =
        Parse(RightAnd(absl::StrCat("log: {level: ", name, "}\n")));
    EXPECT_OK(config);
    return config.ok() ? config->log_level : LogLevel::kInfo;
  };
  EXPECT_EQ(level_of("debug"), LogLevel::kDebug);
  EXPECT_EQ(level_of("info"), LogLevel::kInfo);
  EXPECT_EQ(level_of("warning"), LogLevel::kWarning);
  EXPECT_EQ(level_of("error"), LogLevel::kError);
  EXPECT_THAT(Mistakes(RightAnd("log: {level: INFO}\n")),
              ElementsAre("s.yaml:4: log.level: is \"INFO\"; valid are debug, info, warning and "
                          "error"));
}

// --- Policy --------------------------------------------------------------------------------------

TEST(ConfigTest, PolicyIsRequiredInDevelopmentToo) {
  for (const char* none : {"", "policy: []\n"}) {
    for (const char* development : {"", "development: true\n"}) {
      EXPECT_THAT(Mistakes(RightWithPolicy(absl::StrCat(none, development))),
                  ElementsAre(AllOf(HasSubstr(": policy: is required; name at least who"),
                                    HasSubstr("operations: [\"*\"]"))));
    }
  }
}

TEST(ConfigTest, StatementsMistakesAreReportedAtTheirFields) {
  EXPECT_THAT(
      Mistakes(RightWithPolicy(R"(policy:
  - operations: [Decrypt]
  - principals: [anna]
  - principals: [anna, "two words"]
    operations: [Decrypt]
  - principals: [anna]
    operations: [Decrypt, Explode]
  - principals: anna
    operations: [[Decrypt]]
  - principals: [anna]
    operations: [Decrypt]
    effect: deny
  - principals: [anna]
    operations: [Decrypt]
    conditions:
      contains: {a: b}
  - principals: [anna]
    operations: [Decrypt]
    conditions: {equals: [a], subset: {a: [b]}}
)")),
      IsSupersetOf({
          StartsWith("s.yaml:5: policy[0].principals: is required"),
          StartsWith("s.yaml:6: policy[1].operations: is required"),
          StartsWith("s.yaml:7: policy[2].principals: \"two words\" does not name a principal"),
          StartsWith("s.yaml:10: policy[3].operations: \"Explode\" is not an operation"),
          StartsWith("s.yaml:11: policy[4].principals: has to be a list of texts"),
          StartsWith("s.yaml:12: policy[4].operations: has to be a list of texts"),
          StartsWith("s.yaml:15: policy[5].effect: is not a field; valid are conditions, "
                     "id, operations, principals"),
          StartsWith("s.yaml:19: policy[6].conditions.contains: is not a field; valid are "
                     "equals, subset"),
          StartsWith("s.yaml:22: policy[7].conditions.equals: has to be a map of texts"),
          StartsWith("s.yaml:22: policy[7].conditions.subset: has to be a map of texts"),
      }));
}

TEST(ConfigTest, StatementsIdsDiffer) {
  const std::string statement = "{id: ops, principals: [anna], operations: [Decrypt]}";
  EXPECT_OK(Parse(RightWithPolicy(absl::StrCat("policy: [", statement, "]\n"))));
  EXPECT_THAT(
      Mistakes(RightWithPolicy(absl::StrCat("policy: [", statement, ", ", statement, "]\n"))),
      ElementsAre(AllOf(StartsWith("s.yaml:4: policy: "), HasSubstr("id"))));
}

TEST(ConfigTest, PolicyHasAtMostAHundredStatements) {
  const auto with = [](int statements) {
    std::string policy = "policy:\n";
    for (int i = 0; i < statements; ++i) {
      policy.append("  - {principals: [anna], operations: [Decrypt]}\n");
    }
    return RightWithPolicy(policy);
  };
  EXPECT_OK(Parse(with(100)));
  EXPECT_THAT(Mistakes(with(101)),
              ElementsAre(AllOf(StartsWith("s.yaml:4: policy: "), HasSubstr("100"))));
}

// --- Audit ---------------------------------------------------------------------------------------

TEST(ConfigTest, AuditMayBeLeftOutInDevelopmentOnly) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(RightWithAudit("development: true\n")));
  EXPECT_FALSE(config.audit.has_value());
  EXPECT_THAT(Mistakes(RightWithAudit("development: false\n")),
              ElementsAre("s.yaml:1: audit: is required (it may be left out in development only)"));
}

TEST(ConfigTest, AuditHasADirectory) {
  for (const char* development : {"", "development: true\n"}) {
    EXPECT_THAT(Mistakes(RightWithAudit(absl::StrCat("audit: {}\n", development))),
                ElementsAre("s.yaml:4: audit.directory: is required"));
    EXPECT_THAT(Mistakes(RightWithAudit(absl::StrCat("audit: {directory: audit}\n", development))),
                ElementsAre("s.yaml:4: audit.directory: is \"audit\"; it has to be an absolute "
                            "path"));
  }
}

TEST(ConfigTest, AuditIsSyncedInIntervalsOrAlways) {
  const auto with = [](const std::string& sync) {
    return RightWithAudit(absl::StrCat("audit:\n  directory: /a\n  sync: ", sync, "\n"));
  };
  EXPECT_TRUE(Parse(with("always"))->audit->sync_always);
  EXPECT_FALSE(Parse(with("interval"))->audit->sync_always);
  for (const char* wrong : {"never", "Always", "true"}) {
    EXPECT_THAT(Mistakes(with(wrong)),
                ElementsAre(absl::StrCat("s.yaml:6: audit.sync: is \"", wrong,
                                         "\"; valid are interval and "
                                         "always")));
  }
}

TEST(ConfigTest, AuditsNumbersHaveTheirRange) {
  struct Number {
    const char* field;
    int least;
    int most;
  };
  for (const Number& number :
       {Number{"sync_interval_ms", 10, 60000}, Number{"seal_interval_seconds", 1, 3600},
        Number{"max_file_mib", 1, 65536}, Number{"max_file_hours", 1, 8760}}) {
    const auto with = [&](const std::string& value) {
      return RightWithAudit(
          absl::StrCat("audit: {directory: /a, ", number.field, ": ", value, "}\n"));
    };
    EXPECT_OK(Parse(with(absl::StrCat(number.least))));
    EXPECT_OK(Parse(with(absl::StrCat(number.most))));
    for (const std::string& wrong : {absl::StrCat(number.least - 1), absl::StrCat(number.most + 1),
                                     std::string("-1"), std::string("1.5"), std::string("often")}) {
      EXPECT_THAT(Mistakes(with(wrong)),
                  ElementsAre(absl::StrCat("s.yaml:4: audit.", number.field,
                                           ": has to be a whole number from ", number.least, " to ",
                                           number.most)));
    }
  }
  EXPECT_THAT(Mistakes(RightWithAudit("audit: {directory: /a, fsync: always}\n")),
              ElementsAre(StartsWith("s.yaml:4: audit.fsync: is not a field; valid are directory, "
                                     "max_file_hours, max_file_mib, seal_interval_seconds, sync, "
                                     "sync_interval_ms")));
}

// --- Rates ---------------------------------------------------------------------------------------

// A file with such limits for everybody and for one principal, in lines 7 and 10.
std::string WithRates(const std::string& everybodys, const std::string& ones) {
  return RightAnd(absl::StrCat(R"(limits:
  rates:
    default:
      )",
                               everybodys, R"(
    principals:
      - principal: anna
        )",
                               ones, "\n"));
}

TEST(ConfigTest, RatesHaveTheirRange) {
  const std::string right = "data_key: {rate: 1}";
  const auto expect_mistake = [&](const std::string& limit, const std::string& mistake) {
    EXPECT_THAT(Mistakes(WithRates(limit, right)),
                ElementsAre(absl::StrCat("s.yaml:7: limits.rates.default.", mistake)));
    EXPECT_THAT(Mistakes(WithRates(right, limit)),
                ElementsAre(absl::StrCat("s.yaml:10: limits.rates.principals[0].", mistake)));
  };
  for (const char* name : {"data_key", "key_pair", "decrypt", "random", "management"}) {
    for (const char* limit : {": {rate: 0.001, burst: 1}", ": {rate: 1000000, burst: 1000000}"}) {
      EXPECT_OK(Parse(WithRates(absl::StrCat(name, limit), absl::StrCat(name, limit))));
    }
    for (const char* wrong : {"0", "0.0009", "1000000.5", "-1", "nan", "inf", "fast", "[1]"}) {
      expect_mistake(absl::StrCat(name, ": {rate: ", wrong, "}"),
                     absl::StrCat(name, ".rate: has to be a number from 0.001 to 1e+06"));
    }
    for (const char* wrong : {"0", "1000001", "-1", "1.5", "many"}) {
      expect_mistake(absl::StrCat(name, ": {rate: 1, burst: ", wrong, "}"),
                     absl::StrCat(name, ".burst: has to be a whole number from 1 to 1000000"));
    }
    expect_mistake(absl::StrCat(name, ": {burst: 3}"), absl::StrCat(name, ".rate: is required"));
    expect_mistake(absl::StrCat(name, ": {rate: 1, per: day}"),
                   absl::StrCat(name, ".per: is not a field; valid are burst, rate"));
  }
}

TEST(ConfigTest, ClassThatIsNoneIsReported) {
  const std::string right = "data_key: {rate: 1}";
  EXPECT_THAT(Mistakes(WithRates("data_keys: {rate: 1}", right)),
              ElementsAre("s.yaml:7: limits.rates.default.data_keys: is not a field; valid are "
                          "data_key, decrypt, key_pair, management, random"));
  EXPECT_THAT(Mistakes(WithRates(right, "group:use: {rate: 1}")),
              ElementsAre(StartsWith("s.yaml:10: limits.rates.principals[0].group:use: is not a "
                                     "field")));
  EXPECT_THAT(Mistakes(RightAnd("limits: {rates: {anna: {data_key: {rate: 1}}}}\n")),
              ElementsAre("s.yaml:4: limits.rates.anna: is not a field; valid are default, "
                          "principals"));
}

TEST(ConfigTest, PrincipalWithRatesIsNamedOnce) {
  EXPECT_THAT(Mistakes(RightAnd(R"(limits:
  rates:
    principals:
      - {principal: anna, random: {rate: 1}}
      - {principal: anna, decrypt: {rate: 1}}
      - {random: {rate: 1}}
)")),
              ElementsAre("s.yaml:8: limits.rates.principals[1].principal: is there twice",
                          "s.yaml:9: limits.rates.principals[2].principal: is required"));
}

// --- The reservoir -------------------------------------------------------------------------------

TEST(ReservoirConfigTest, ThereIsNoneUnlessItIsNamed) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(RightAnd("")));
  EXPECT_FALSE(config.reservoir.has_value());
}

TEST(ReservoirConfigTest, WhatIsLeftOutHasItsDefault) {
  ASSERT_OK_AND_ASSIGN(const Config config, Parse(RightAnd("reservoir: {}\n")));
  ASSERT_TRUE(config.reservoir.has_value());
  EXPECT_EQ(config.reservoir->path, "");
  EXPECT_EQ(config.reservoir->pairs, core::PairReservoir::DefaultPairs());
  EXPECT_EQ(config.reservoir->pairs.at(hsm::PairSpec::kRsa4096), 8);
  EXPECT_EQ(config.reservoir->pairs.at(hsm::PairSpec::kEcP256), 32);
  EXPECT_EQ(config.reservoir->refill_per_second, 0);
  EXPECT_EQ(config.reservoir->max_bytes, 256 << 20);
}

TEST(ReservoirConfigTest, EveryFieldIsTaken) {
  ASSERT_OK_AND_ASSIGN(const Config config,
                       Parse(RightAnd("reservoir:\n"
                                      "  path: /var/lib/strongroom/pairs.db\n"
                                      "  pairs: {RSA_2048: 10000, EC_P256K: 0}\n"
                                      "  refill_per_second: 0.5\n"
                                      "  max_mib: 3\n")));
  ASSERT_TRUE(config.reservoir.has_value());
  EXPECT_EQ(config.reservoir->path, "/var/lib/strongroom/pairs.db");
  for (const auto& [spec, size] : config.reservoir->pairs) {
    EXPECT_EQ(size, spec == hsm::PairSpec::kRsa2048 ? 10000 : 0);
  }
  EXPECT_EQ(config.reservoir->refill_per_second, 0.5);
  EXPECT_EQ(config.reservoir->max_bytes, 3 << 20);
}

TEST(ReservoirConfigTest, MistakesAreReportedAtTheirFields) {
  struct Case {
    const char* fields;
    const char* mistake;
  };
  for (const Case& c : {
           Case{"path: pairs.db", "path: is \"pairs.db\""},
           Case{"pairs: {EC_P256: 10001}",
                "pairs.EC_P256: has to be a whole number from 0 to 10000"},
           Case{"pairs: {EC_P256: -1}", "pairs.EC_P256: has to be a whole number from 0 to 10000"},
           Case{"pairs: {EC_P257: 1}", "pairs.EC_P257: is not a field; valid are EC_P256, "},
           Case{"pairs: 3", "pairs: has to be"},
           Case{"refill_per_second: -1", "refill_per_second: has to be a number from 0 to 1e+06"},
           Case{"refill_per_second: 0.0001",
                "refill_per_second: has to be 0 (no limit) or at least 0.001"},
           Case{"max_mib: 0", "max_mib: has to be a whole number from 1 to 65536"},
           Case{"size: 3", "size: is not a field; valid are max_mib, pairs, path, "},
       }) {
    const std::vector<std::string> mistakes =
        Mistakes(RightAnd(absl::StrCat("reservoir: {", c.fields, "}\n")));
    ASSERT_EQ(mistakes.size(), 1u) << c.fields;
    EXPECT_THAT(mistakes[0], StartsWith("s.yaml:4: reservoir."));
    EXPECT_THAT(mistakes[0], HasSubstr(c.mistake));
  }
}

TEST(ReservoirConfigTest, FileIsNotTheStores) {
  EXPECT_THAT(Mistakes(RightAnd("reservoir: {path: /var/lib/strongroom/store.db}\n")),
              ElementsAre(HasSubstr("reservoir.path: is store.path")));
}

// --- Files ---------------------------------------------------------------------------------------

TEST(ConfigTest, FilesOfTheDeploymentAreRight) {
  for (const char* file : {"deploy/strongroomd.yaml", "deploy/docker/strongroomd.yaml"}) {
    ASSERT_OK_AND_ASSIGN(const Config config,
                         LoadConfig(absl::StrCat(getenv("TEST_SRCDIR"), "/strongroom/", file)));
    // For production.
    EXPECT_FALSE(config.development) << file;
    EXPECT_TRUE(config.audit.has_value()) << file;
  }
}

TEST(ConfigTest, FileIsReadAndNamedInItsMistakes) {
  ASSERT_OK_AND_ASSIGN(const std::string directory, testing::MakeTestDirectory());
  const std::string right = directory + "/right.yaml";
  std::ofstream(right) << kComplete;
  EXPECT_OK(LoadConfig(right));
  const std::string wrong = directory + "/wrong.yaml";
  std::ofstream(wrong) << RightAnd("colour: blue\n");
  EXPECT_THAT(LoadConfig(wrong),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith(absl::StrCat(wrong, ":4: colour: is not a field"))));
  EXPECT_THAT(LoadConfig(directory + "/none.yaml"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(directory + "/none.yaml")));
}

}  // namespace
}  // namespace strongroom
