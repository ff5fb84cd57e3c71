"""Spillway for Spack, from the clone of the repository that this file lies in:

    spack repo add launch/spack
    spack install spillway            # or: spack install spillway +cuda cuda_arch=90
"""
from pathlib import Path

from spack.package import *

try:  # from Spack 1.0 on
    from spack_repo.builtin.build_systems.cmake import CMakePackage
    from spack_repo.builtin.build_systems.cuda import CudaPackage
except ImportError:
    pass


class Spillway(CMakePackage, CudaPackage):
    """One large language model over the GPUs, memory and disks of several machines."""

    git = Path(__file__).resolve().parents[4].as_uri()
    license("MIT")
    version("main", branch="main")

    variant("serve", default=True, description="The verb serve: the API of OpenAI over HTTP")
    variant("edit", default=True, description="Editing of lines in the verb chat")
    variant("nccl", default=True, when="+cuda", description="Join ranks' GPUs by NCCL")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("openmpi@4.1", type=("build", "link", "run"))
    depends_on("hwloc@2:")
    depends_on("jansson")
    depends_on("pcre2")
    depends_on("utf8proc")
    depends_on("libmicrohttpd@0.9.70:", when="+serve")
    depends_on("libedit", when="+edit")
    depends_on("cuda@12.8:", when="+cuda")
    depends_on("nccl", when="+nccl")

    def cmake_args(self):
        args = [
            self.define_from_variant("CUDA", "cuda"),
            self.define_from_variant("SERVE", "serve"),
            self.define_from_variant("EDIT", "edit"),
            self.define("WERROR", False),
            self.define("BUILD_TESTING", False),  # the tests want C++, CUnit and minutes
        ]
        if self.spec.satisfies("+cuda"):
            args.append(self.define_from_variant("NCCL", "nccl"))
            if self.spec.variants["cuda_arch"].value != ("none",):
                args.append(self.define("CMAKE_CUDA_ARCHITECTURES", list(self.spec.variants["cuda_arch"].value)))
        return args
