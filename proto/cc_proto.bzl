"""C++ from .proto files, by Debian's protoc and grpc_cpp_plugin.

Bazel's own cc_proto_library would build protoc from a download.
"""

def cc_proto(name, srcs, strip = "", deps = [], grpc = False, visibility = None):
    """A cc_library with the messages of `srcs` and, if asked for, their gRPC stubs.

    Args:
      name: of the library.
      srcs: .proto files of this package.
      strip: the folder, below this package, from which imports are named.
      deps: other cc_proto libraries that `srcs` import.
      grpc: whether to generate stubs for services.
      visibility: as usual.
    """
    stems = [src[:-len(".proto")] for src in srcs]
    kinds = [".pb"] + ([".grpc.pb"] if grpc else [])
    headers = [stem + kind + ".h" for stem in stems for kind in kinds]
    sources = [stem + kind + ".cc" for stem in stems for kind in kinds]
    imports = [dep + "_srcs" for dep in deps]
    native.filegroup(name = name + "_srcs", srcs = srcs, visibility = visibility)

    # $(RULEDIR) has no external/ part on the source side, so the first source
    # tells where this package's files are.
    native.genrule(
        name = name + "_generate",
        srcs = srcs + imports,
        outs = headers + sources,
        cmd = " && ".join([
            "first=$(location {})".format(srcs[0]),
            "root=$${{first%/{}}}".format(srcs[0][len(strip + "/") if strip else 0:]),
            " ".join([
                "/usr/bin/protoc -I$$root -I/usr/include",
                "--cpp_out=$(RULEDIR)/" + strip,
            ] + ([
                "--grpc_out=$(RULEDIR)/" + strip,
                "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin",
            ] if grpc else []) + ["$(location {})".format(src) for src in srcs]),
        ]),
    )
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = headers,
        includes = [strip or "."],
        # Descriptors register themselves; reflection needs them unreferenced.
        alwayslink = True,
        deps = deps + ["@strongroom//third_party:" + ("grpcpp" if grpc else "protobuf")],
        visibility = visibility,
    )
