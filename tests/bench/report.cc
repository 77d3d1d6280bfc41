#include "tests/bench/report.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace strongroom::bench {
namespace {

std::string Text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    return absl::StrFormat(number >= 1000 ? "%.0f" : "%.4g", number);
  }
  return value.dump();
}

// As many columns as fit on a line: the least and the most stand with the median.
void PrintTable(const std::string& name, const Json& rows, std::ostream& out) {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> cells;
  for (const Json& row : rows) {
    for (const auto& [field, value] : row.items()) {
      if (absl::EndsWith(field, "_least") || absl::EndsWith(field, "_most")) continue;
      if (value.is_structured()) continue;
      if (std::find(columns.begin(), columns.end(), field) == columns.end()) {
        columns.push_back(field);
      }
    }
  }
  cells.push_back(columns);
  for (const Json& row : rows) {
    std::vector<std::string> line;
    for (const std::string& column : columns) {
      std::string cell = row.contains(column) ? Text(row[column]) : "";
      if (row.contains(column + "_least") && row[column + "_least"] != row[column + "_most"]) {
        absl::StrAppend(&cell, " (", Text(row[column + "_least"]), "..",
                        Text(row[column + "_most"]), ")");
      }
      line.push_back(cell);
    }
    cells.push_back(line);
  }
  out << "\n" << name << "\n";
  for (const std::vector<std::string>& line : cells) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      size_t width = 0;
      for (const std::vector<std::string>& other : cells) width = std::max(width, other[i].size());
      absl::StrAppend(&text, "  ", line[i], std::string(width - line[i].size(), ' '));
    }
    out << text << "\n";
  }
}

// Finds the row of a list whose fields have these values; null if there is none.
Json RowOf(const Json& report, const std::string& list, const Json& fields) {
  if (!report.contains(list)) return nullptr;
  for (const Json& row : report[list]) {
    const auto has = [&](const auto& field) {
      return row.contains(field.key()) && row[field.key()] == field.value();
    };
    bool all = true;
    for (const auto& field : fields.items()) all = all && has(field);
    if (all) return row;
  }
  return nullptr;
}

class Demands {
 public:
  // Nothing if the figure is not there.
  void Add(const std::string& demand, const Json& row, const std::string& field, bool at_most,
           double wanted) {
    if (!row.is_object() || !row.contains(field)) return;
    const double reached = row[field];
    list_.push_back({{"demand", demand},
                     {"wanted", absl::StrFormat("%s %g", at_most ? "at most" : "at least", wanted)},
                     {"reached", reached},
                     {"is_met", at_most ? reached <= wanted : reached >= wanted}});
    if (row.contains(field + "_least")) {
      list_.back()["reached_least"] = row[field + "_least"];
      list_.back()["reached_most"] = row[field + "_most"];
    }
  }
  Json list() const { return list_; }

 private:
  Json list_ = Json::array();
};

}  // namespace

Json DemandsOf(const Json& report) {
  Demands demands;
  for (const char* operation : {"GenerateDataKey", "Decrypt"}) {
    for (const char* transport : {"unix", "mtls"}) {
      const std::string where = absl::StrCat(operation, ", ", transport);
      demands.Add(absl::StrCat(where, ", 64 in flight: rate to echo's"),
                  RowOf(report, "ops",
                        {{"operation", operation}, {"transport", transport}, {"in_flight", 64}}),
                  "ratio_to_echo", false, 0.80);
      const Json half =
          RowOf(report, "half_load", {{"operation", operation}, {"transport", transport}});
      demands.Add(absl::StrCat(where, ", half load: p99 to echo's at half of its own"), half,
                  "ratio_half", true, 1.5);
      demands.Add(absl::StrCat(where, ", half load: p99 to echo's at the same rate"), half,
                  "ratio_same_rate", true, 1.5);
    }
  }
  if (report.contains("batch")) {
    demands.Add("batch: keys a second to raw seals", report["batch"], "ratio_to_raw_seal", false,
                0.90);
  }
  if (report.contains("pairs")) {
    for (const Json& row : report["pairs"]) {
      const std::string spec = row["spec"];
      demands.Add(absl::StrCat(spec, " from the reservoir: p50 to a data key's"), row,
                  "p50_ratio_to_data_key", true, 2);
      demands.Add(absl::StrCat(spec, " beyond the reservoir: rate to raw generation's"), row,
                  "sustained_ratio", false, 0.95);
    }
  }
  if (report.contains("refill")) {
    demands.Add("GenerateDataKey, half load: p99 while the reservoir refills to that when full",
                report["refill"], "ratio", true, 1.3);
  }
  demands.Add("1 ms a token call: 64 lanes to one", RowOf(report, "lanes", {{"lanes", 64}}),
              "ratio_to_one_lane", false, 55);
  demands.Add("calls into the token for a data key", report, "calls_per_data_key", true, 2);
  if (report.contains("growth")) {
    const Json& most = report["growth"].back();
    const std::string keys = absl::StrCat(most["keys"].get<int>(), " keys");
    demands.Add(keys + ": rate to that with one", most, "ratio_to_one_key", false, 0.9);
    demands.Add(keys + ": seconds to start", most, "start_s", true, 3);
    demands.Add(keys + ": KiB for each", most, "kib_per_key", true, 1);
  }
  if (report.contains("start")) {
    const Json& row = report["start"].back();
    demands.Add(absl::StrCat(row["keys"].get<int>(), " keys in the token: seconds to start"), row,
                "start_s", true, 0.3);
  }
  demands.Add("audit trail: rate to that without",
              RowOf(report, "audit", {{"variant", "with a trail"}}), "ratio", false, 0.85);
  demands.Add("a neighbour held to its rate: p99 to that alone",
              RowOf(report, "neighbour", {{"neighbour", "rate 500, calls again at once"}}), "ratio",
              true, 2);
  if (report.contains("signing")) {
    demands.Add("signing with an open key: rate to C_Sign's", report["signing"], "ratio", false,
                0.8);
  }
  return demands.list();
}

void PrintReport(const Json& report, std::ostream& out) {
  for (const auto& [name, value] : report.items()) {
    if (value.is_array()) {
      PrintTable(name, value, out);
    } else if (value.is_object()) {
      PrintTable(name, Json::array({value}), out);
      for (const auto& [inner, list] : value.items()) {
        if (list.is_array()) PrintTable(absl::StrCat(name, ": ", inner), list, out);
      }
    } else {
      out << "\n" << name << ": " << Text(value) << "\n";
    }
  }
}

}  // namespace strongroom::bench
