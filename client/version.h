#ifndef STRONGROOM_CLIENT_VERSION_H_
#define STRONGROOM_CLIENT_VERSION_H_

namespace strongroom {

// The version of the client library and of the `strongroom` command.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace strongroom

#endif  // STRONGROOM_CLIENT_VERSION_H_
