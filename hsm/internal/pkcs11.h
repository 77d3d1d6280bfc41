#ifndef STRONGROOM_HSM_INTERNAL_PKCS11_H_
#define STRONGROOM_HSM_INTERNAL_PKCS11_H_

// The one place that includes the PKCS#11 header (OASIS PKCS#11 v2.40). Nothing outside
// hsm/internal sees a CK_ type.
#include <p11-kit/pkcs11.h>

#endif  // STRONGROOM_HSM_INTERNAL_PKCS11_H_
