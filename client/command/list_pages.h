#ifndef STRONGROOM_CLIENT_COMMAND_LIST_PAGES_H_
#define STRONGROOM_CLIENT_COMMAND_LIST_PAGES_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/command/report.h"

namespace strongroom::command {

// Gets pages from `get`: all of them, or one where `first` says which (--page-size, --page-token).
// `name` is the list's in JSON. The request id is the last page's.
template <typename Item>
absl::StatusOr<Report> ListPages(
    const std::string& name, const PageRequest& first,
    absl::FunctionRef<Record(const Item&)> to_record,
    absl::FunctionRef<absl::StatusOr<Page<Item>>(const PageRequest&)> get) {
  const bool one_page = first.page_size != 0 || !first.page_token.empty();
  Report report{.list = Report::List{.name = name}};
  PageRequest request = first;
  while (true) {
    absl::StatusOr<Page<Item>> page = get(request);
    if (!page.ok()) return page.status();
    for (const Item& item : page->items) report.list->items.push_back(to_record(item));
    if (page->next_page_token.empty() || one_page) {
      report.record.OptionalText("next_page_token", page->next_page_token)
          .Text("request_id", page->request_id);
      return report;
    }
    if (page->next_page_token == request.page_token) {
      return absl::InternalError("the service gave the same page twice");
    }
    request.page_token = page->next_page_token;
  }
}

}  // namespace strongroom::command

#endif  // STRONGROOM_CLIENT_COMMAND_LIST_PAGES_H_
