#ifndef STRONGROOM_SERVER_DAEMON_H_
#define STRONGROOM_SERVER_DAEMON_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "server/config/config.h"
#include "server/log/log.h"

namespace strongroom {

// A whole running service: store, token, keys, gate and server, wired together. Going down is the
// reverse of coming up.
class Daemon {
 public:
  // Errors say what to do. PERMISSION_DENIED if the token did not accept the PIN, or must not be
  // asked again; starting again with the same PIN could lock the token.
  //
  // `log` and `clock` outlive the daemon.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Config& config, Log& log,
                                                       const Clock& clock);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Where TCP is listened on.
  const std::vector<std::string>& tcp_addresses() const;

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_DAEMON_H_
