# Writes OUT, a C file with sw_version, sw_source_id and sw_built_in. Run at build time: cmake -DROOT=… -DOUT=… -DVERSION=… -DBUILT_IN=… -P
file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/src/*.[ch] ${ROOT}/kernels/*.[ch] ${ROOT}/kernels/*.cu ${ROOT}/kernels/*.cuh)
list(SORT sources)
set(all "")
foreach(source ${sources})
  file(SHA256 ${ROOT}/${source} hash)
  string(APPEND all "${source} ${hash}\n")
endforeach()
string(SHA256 id "${all}")
string(SUBSTRING ${id} 0 12 id)
file(WRITE ${OUT} "#include \"base/version.h\"
const char *sw_version(void)
{
    return \"${VERSION}\";
}
const char *sw_source_id(void)
{
    return \"${id}\";
}
const char *sw_built_in(void)
{
    return \"${BUILT_IN}\";
}
")
