# Writes OUT, a C file with sw_version and sw_source_id. Run at build time: cmake -DROOT=… -DOUT=… -DVERSION=… -P
file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/src/*.[ch] ${ROOT}/kernels/*.[ch])
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
")
