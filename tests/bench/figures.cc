#include "tests/bench/figures.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace strongroom::bench {
double Rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::fabs(value))));
  return scale > 1 ? std::round(value * scale) / scale : std::round(value);
}

double Median(Rounds values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Percentile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  const auto rank = std::min(values.size() - 1,
                             static_cast<size_t>(fraction * static_cast<double>(values.size())));
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

Rounds Ratios(const Rounds& values, const Rounds& of) {
  Rounds ratios;
  for (size_t i = 0; i < std::min(values.size(), of.size()); ++i) {
    if (of[i] != 0) ratios.push_back(values[i] / of[i]);
  }
  return ratios;
}

void PutSpread(Json& row, const std::string& name, const Rounds& values) {
  if (values.empty()) return;
  row[name] = Rounded(Median(values));
  row[name + "_least"] = Rounded(*std::min_element(values.begin(), values.end()));
  row[name + "_most"] = Rounded(*std::max_element(values.begin(), values.end()));
}

Rounds Series::Of(double LoadResult::*member) const {
  Rounds values;
  for (const LoadResult& round : rounds) values.push_back(round.*member);
  return values;
}

void PutLoad(Json& row, const Series& series) {
  PutSpread(row, "rps", series.rates());
  row["p50_ms"] = Rounded(Median(series.p50s()));
  PutSpread(row, "p99_ms", series.p99s());
  row["cpu_us_per_request"] = Rounded(Median(series.Of(&LoadResult::server_cpu_us)));
  row["client_cpu_us_per_request"] = Rounded(Median(series.Of(&LoadResult::client_cpu_us)));
}

}  // namespace strongroom::bench
