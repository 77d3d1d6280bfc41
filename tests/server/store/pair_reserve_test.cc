#include "server/store/pair_reserve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/store/sqlite_store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_directory.h"

namespace strongroom::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

const StoreId kStore({1});
const ReserveEpochId kEpoch({2});

class PairReserveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, testing::MakeTestDirectory());
    path_ = directory_ + "/pairs.db";
  }
  absl::StatusOr<std::unique_ptr<PairReserve>> Open(const StoreId& store = kStore) {
    return PairReserve::Open(path_, store);
  }
  static std::vector<int64_t> Ids(PairReserve& reserve) {
    const absl::StatusOr<std::vector<ReservedPair>> pairs = reserve.List();
    EXPECT_OK(pairs);
    std::vector<int64_t> ids;
    for (const ReservedPair& pair : *pairs) ids.push_back(pair.id);
    return ids;
  }
  const std::string& directory() { return directory_; }
  const std::string& path() { return path_; }

 private:
  std::string directory_;
  std::string path_;
};

TEST_F(PairReserveTest, NewOneIsEmptyAndPrivate) {
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
  EXPECT_EQ(reserve->notice(), "");
  ASSERT_OK_AND_ASSIGN(const std::optional<ReserveEpochId> epoch, reserve->GetEpoch());
  EXPECT_FALSE(epoch.has_value());
  EXPECT_THAT(Ids(*reserve), IsEmpty());
  struct stat info;
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(PairReserveTest, WhatWasAddedIsThereAndWhatWasRemovedIsNot) {
  {
    ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
    ASSERT_OK(reserve->BeginEpoch(kEpoch, {}));
    ASSERT_OK(reserve->Add({{1, 4, "one"}, {2, 4, "two"}, {3, 5, std::string("\0\xff", 2)}}));
    ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> removed, reserve->Remove({2, 7}));
    // Only what was there.
    EXPECT_THAT(removed, ElementsAre(2));
    EXPECT_THAT(reserve->Add({{4, 4, "four"}, {1, 4, "again"}}),
                StatusIs(absl::StatusCode::kAlreadyExists));
  }
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
  ASSERT_OK_AND_ASSIGN(const std::optional<ReserveEpochId> epoch, reserve->GetEpoch());
  EXPECT_EQ(epoch, kEpoch);
  ASSERT_OK_AND_ASSIGN(const std::vector<ReservedPair> pairs, reserve->List());
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].sealed, "one");
  EXPECT_EQ(pairs[1].id, 3);
  EXPECT_EQ(pairs[1].spec, 5);
  EXPECT_EQ(pairs[1].sealed, std::string("\0\xff", 2));
}

TEST_F(PairReserveTest, NewEpochTakesThePlaceOfAllPairs) {
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
  ASSERT_OK(reserve->Add({{1, 4, "one"}, {2, 4, "two"}}));
  // All or nothing.
  EXPECT_THAT(reserve->BeginEpoch(kEpoch, {{5, 4, "five"}, {5, 4, "five"}}),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Ids(*reserve), ElementsAre(1, 2));
  ASSERT_OK(reserve->BeginEpoch(kEpoch, {{2, 4, "new"}}));
  EXPECT_THAT(Ids(*reserve), ElementsAre(2));
}

TEST_F(PairReserveTest, PairsOfAnotherStoreAreDropped) {
  {
    ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
    ASSERT_OK(reserve->BeginEpoch(kEpoch, {{1, 4, "one"}}));
  }
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open(StoreId({9})));
  EXPECT_THAT(reserve->notice(), HasSubstr("another store's"));
  EXPECT_THAT(Ids(*reserve), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const std::optional<ReserveEpochId> epoch, reserve->GetEpoch());
  EXPECT_FALSE(epoch.has_value());
}

TEST_F(PairReserveTest, DamagedFileIsPutAside) {
  {
    ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
    ASSERT_OK(reserve->Add({{1, 4, std::string(20000, 'x')}}));
  }
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) - 8192);
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
  EXPECT_THAT(reserve->notice(), HasSubstr("put aside"));
  EXPECT_THAT(Ids(*reserve), IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(path() + ".damaged"));
  EXPECT_OK(reserve->Add({{1, 4, "one"}}));
}

// A mistake in the configuration must not cost somebody a database.
TEST_F(PairReserveTest, FileOfAnotherProgramIsRefusedAndLeftAlone) {
  { ASSERT_OK_AND_ASSIGN(const auto store, SqliteStore::Open(path())); }
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(SqliteStore::Open(path()));
  std::ofstream(directory() + "/text") << "a text of more than sixteen bytes";
  EXPECT_THAT(PairReserve::Open(directory() + "/text", kStore),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(std::filesystem::exists(directory() + "/text.damaged"));
}

TEST_F(PairReserveTest, SecondOneIsRefusedWhileItIsOpen) {
  ASSERT_OK_AND_ASSIGN(const auto reserve, Open());
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace strongroom::store
