#ifndef STRONGROOM_SERVER_VERSION_H_
#define STRONGROOM_SERVER_VERSION_H_

namespace strongroom {

// What strongroomd calls itself, on its command line and in its audit trail.
inline constexpr char kServerVersion[] = "0.1.0";

}  // namespace strongroom

#endif  // STRONGROOM_SERVER_VERSION_H_
