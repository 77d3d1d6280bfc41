"""Bazel's native C++ rules under the names that rules_cc gives them.

Debian's bazel-rules-cc needs a newer Bazel than Debian's Bazel is.
"""

cc_library = native.cc_library
cc_binary = native.cc_binary
cc_test = native.cc_test
cc_import = native.cc_import
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library
fdo_profile = native.fdo_profile
