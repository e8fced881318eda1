"""The compiled loops, which are optional: where no compiler is found, NumPy does the same.

All else is in pyproject.toml.
"""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODULES = {
    "bulklmm_dask.lmm.compiled._kernels": "bulklmm_dask/lmm/compiled",
    "bulklmm_dask.crosses.compiled._chains": "bulklmm_dask/crosses/compiled",
    "bulklmm_dask.storage.compiled._blocks": "bulklmm_dask/storage/compiled",
}
SHARED = "bulklmm_dask/_compiled"  # headers
FLAGS = {
    "unix": ["-std=c99", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"],
    "msvc": ["/O2", "/fp:precise"],
}


class Build(build_ext):
    """Build with the flags of the compiler that is found."""

    def build_extension(self, ext: Extension) -> None:
        """Build one extension."""
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
        super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            module,
            [f"{folder}/{module.rpartition('.')[2]}.c"],
            include_dirs=[SHARED, folder],
            depends=sorted(str(file) for of in (SHARED, folder) for file in Path(of).glob("*.h")),
            optional=True,
            py_limited_api=True,
        )
        for module, folder in MODULES.items()
    ],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
