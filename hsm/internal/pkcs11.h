#ifndef STRONGROOM_HSM_INTERNAL_PKCS11_H_
#define STRONGROOM_HSM_INTERNAL_PKCS11_H_

// The one place that includes the PKCS#11 header (OASIS PKCS#11 v2.40). Nothing outside
// hsm/internal sees a CK_ type.
#include <p11-kit/pkcs11.h>

// The parameters of CKM_RSA_AES_KEY_WRAP (PKCS#11 v2.40, section 2.1.22), which that header lacks.
struct CK_RSA_AES_KEY_WRAP_PARAMS {
  CK_ULONG ulAESKeyBits;
  CK_RSA_PKCS_OAEP_PARAMS* pOAEPParams;
};

#endif  // STRONGROOM_HSM_INTERNAL_PKCS11_H_
