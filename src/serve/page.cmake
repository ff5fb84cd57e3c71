# Writes OUT, a C source with the bytes of PAGE and its content policy, in which the style and the
# script are allowed by their hashes and nothing else is.
file(READ ${PAGE} page)

# hash_of NAME VARIABLE: of what stands between <NAME> and </NAME>, as a policy has it.
function(hash_of name variable)
  string(LENGTH "<${name}>" length)
  string(FIND "${page}" "<${name}>" begin)
  string(FIND "${page}" "</${name}>" end)
  if(begin EQUAL -1 OR end LESS begin)
    message(FATAL_ERROR "${PAGE}: expected one <${name}> without attributes")
  endif()
  math(EXPR begin "${begin} + ${length}")
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${page}" ${begin} ${length} text)
  string(SHA256 digits "${text}")
  set(letters ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  set(base64 "")
  foreach(i RANGE 0 60 6) # three bytes at a time; the last group has two
    string(SUBSTRING "${digits}00" ${i} 6 group)
    math(EXPR bits "0x${group}")
    foreach(shift 18 12 6 0)
      math(EXPR letter "(${bits} >> ${shift}) & 63")
      string(SUBSTRING ${letters} ${letter} 1 letter)
      string(APPEND base64 ${letter})
    endforeach()
  endforeach()
  string(SUBSTRING ${base64} 0 43 base64)
  set(${variable} "'sha256-${base64}='" PARENT_SCOPE)
endfunction()
hash_of(style style)
hash_of(script script)

file(READ ${PAGE} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
#include "serve/page.h"
const unsigned char sw_page[] = {
@bytes@};
const size_t sw_page_size = sizeof sw_page;
const char sw_page_policy[] =
    "default-src 'none'; script-src @script@; style-src @style@; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";
]] @ONLY)
