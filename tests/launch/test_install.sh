#!/bin/bash
# What a packager and a user get: `cmake --install` into an empty prefix, the demo and a server from there, the
# .deb in an empty root, the tarball with its own libraries, the module file, and what the Apptainer definition
# and the Spack recipe name. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/../cli/common.sh"
root=$(cd "$here/../.." && pwd)
build=$(dirname "$spillway")
not_with_asan "builds are not installed"
unset SPILLWAY
# try WHAT COMMAND…: must succeed
try() {
    local what=$1
    shift
    launch "$@"
    expect 0 "$what"
}
has() { # FOLDER FILE…
    local folder=$1 file
    shift
    for file in "$@"; do
        [ -s "$folder/$file" ] || fail "$folder: no $file"
    done
}
# works WHAT BIN SHARE: that program plans and runs the model that came with it
works() {
    try "$1: --version" "$2/spillway" --version
    grep -q '^spillway [0-9.]* (.*mpi' out || fail "$1: --version"
    try "$1: plan" "$2/spillway" plan "$3/models/shakespeare" --cluster "2x(host:1G)"
    grep -q 'layers 0-2' out || fail "$1: plan"
    try "$1: run" "$2/spillway" run "$3/models/shakespeare" "To be, or" -n 12
    cmp -s out expected || fail "$1: run gives another text"
}
sw run "$models/shakespeare" "To be, or" -n 12
expect 0 "the text to compare with"
cp out expected

# ---- cmake --install ----
try "cmake --install" cmake --install "$build" --prefix "$work/prefix"
share=prefix/share/spillway
has prefix bin/spillway bin/spillway-mpirun share/bash-completion/completions/spillway \
    share/zsh/site-functions/_spillway share/fish/vendor_completions.d/spillway.fish \
    share/doc/spillway/README.md share/doc/spillway/docs/design.md share/spillway/launch/slurm.sbatch \
    share/spillway/launch/serve.sbatch share/spillway/launch/spillway.service share/spillway/hostfiles/lab
for shell in bash:bash-completion/completions/spillway zsh:zsh/site-functions/_spillway fish:fish/vendor_completions.d/spillway.fish; do
    "$spillway" --completion "${shell%:*}" | cmp -s - "prefix/share/${shell#*:}" || fail "completion of ${shell%:*}"
done
if command -v lowdown >/dev/null; then
    for page in "$root"/docs/man/*.1.md; do has prefix "share/man/man1/$(basename "$page" .md)"; done
    grep -q -- "--listen" prefix/share/man/man1/spillway-serve.1 || fail "options of a man page cannot be typed as they are"
else
    echo "lowdown is not installed: no man pages"
fi
# links of the README lead somewhere there, too
grep -o '](docs/[^)#]*' "$root/README.md" | cut -c 3- | sort -u | while read -r file; do
    [ "$file" = docs/man/spillway-serve.1.md ] || [ -e "prefix/share/doc/spillway/$file" ] || echo "$file"
done >lost
[ -s lost ] && fail "the README's $(tr '\n' ' ' <lost)"
# The systemd unit names this prefix, and its command serves, as it would there.
unit=prefix/share/spillway/launch/spillway.service
sed -n 's/^ExecStart=//p' $unit >command.sh
[ "$(grep -o '[^ ]*/bin/[a-z-]*' command.sh | paste -sd ' ')" = "$work/prefix/bin/spillway-mpirun $work/prefix/bin/spillway" ] || fail "the unit: $(cat command.sh)"
if command -v systemd-analyze >/dev/null; then
    cp $unit spillway@.service
    systemd-analyze verify ./spillway@.service >out 2>err || fail "systemd-analyze verify"
fi
RANKS=2 MODEL=$work/prefix/share/spillway/models/shakespeare OPTIONS="--port 0" bash -c "exec $(cat command.sh)" >out 2>err </dev/null &
server=$!
cleanups+=('kill -KILL $server 2>/dev/null')
within 200 grep -q 'is ready at' err || fail "the unit's command does not serve"
kill -TERM $server
wait $server
code=$?
expect 0 "the unit's command, stopped"
grep -rIl -- "$root" prefix >places && fail "these name the folder of the sources: $(cat places)"
mv prefix moved && share=$work/moved/share/spillway # it may lie anywhere
works "installed" "$work/moved/bin" "$share"

python3 "$here/../typed.py" 120 "wait:the likeliest" -- true >/dev/null 2>&1 # no such text: it must say so
[ $? = 1 ] || fail "typed.py sees what is not there"
python3 "$here/../typed.py" 600 "wait:The plan for them" "wait:predicted" "wait:A page to chat on" "wait:is ready at" "wait:at once" fetch \
    "type:\x03" "end:0" -- env -u DISPLAY bash "$share/launch/demo.sh" >out 2>err || fail "the demo, installed, on a terminal"
bash "$share/launch/demo.sh" >out 2>err </dev/null
code=$?
expect 0 "the demo, installed"
grep -q 'http://localhost:8080/' out || fail "the demo, installed: no address"

# ---- the module file ----
module=$(command -v modulecmd.tcl || ls /usr/lib/x86_64-linux-gnu/modulecmd.tcl 2>/dev/null)
if [ -n "$module" ]; then
    cat >load.sh <<SH
eval "\$('$module' bash use '$work/moved/share/modulefiles')"
eval "\$('$module' bash load spillway)"
command -v spillway; echo "\$SPILLWAY \$SPILLWAY_SHARE"
eval "\$('$module' bash unload spillway)"
echo "left: \${SPILLWAY:-}"; command -v spillway
SH
    env -u SPILLWAY bash load.sh >out 2>err
    printf '%s\n' "$work/moved/bin/spillway" "$work/moved/bin/spillway $work/moved/share/spillway" "left: " | cmp -s - out ||
        fail "the module file"
else
    echo "Environment Modules are not installed: the module file is not loaded"
fi

# ---- packages (without building all again) ----
package() {
    timeout -k 5 400 cpack --config "$build/CPackConfig.cmake" -G "$1" -B "$work/$1" -D CPACK_CMAKE_GENERATOR=Ninja \
        >out 2>err || fail "cpack -G $1"
}
if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null; then
    package DEB
    deb=$(ls DEB/*.deb)
    try "the list of the .deb" dpkg-deb -c "$deb"
    for file in usr/bin/spillway usr/bin/spillway-mpirun usr/share/bash-completion/completions/spillway \
        usr/share/doc/spillway/README.md usr/share/spillway/launch/slurm.sbatch; do
        grep -q " \./$file\$" out || fail "the .deb has no $file"
    done
    awk '$2 != "root/root" || $6 !~ /^\.\/(usr\/|$)/ && $6 != "./usr"' out >odd
    [ -s odd ] && fail "the .deb: $(head -n 3 odd)"
    try "the fields of the .deb" dpkg-deb -f "$deb"
    # each library that the program names, by the package that has it
    ldd "$spillway" >linked
    for library in libmpi libhwloc libjansson libpcre2-8 libutf8proc libmicrohttpd libedit libc; do
        grep -q "$library\.so" linked || continue
        owner=$(dpkg -S "$(grep -m 1 "$library\.so" linked | sed -E 's/.*=> *([^ ]*) .*/\1/' | xargs readlink -f)" 2>/dev/null | cut -d : -f 1 | head -n 1)
        [ -z "$owner" ] || grep -q "^Depends:.*\b$owner\b" out || fail "the .deb does not depend on $owner ($library)"
    done
    grep -q '^Depends:.*openmpi-bin' out || fail "the .deb does not depend on openmpi-bin"
    mkdir empty && dpkg-deb -x "$deb" empty || fail "the .deb cannot be unpacked"
    works "the .deb" "$work/empty/usr/bin" "$work/empty/usr/share/spillway"
    grep -q '^ExecStart=/usr/bin/spillway-mpirun .* /usr/bin/spillway serve' empty/usr/share/spillway/launch/spillway.service ||
        fail "the .deb: the systemd unit"
else
    echo "dpkg-deb or dpkg-shlibdeps is not installed: no .deb"
fi

package TGZ
mkdir far && tar -xzf TGZ/*.tar.gz -C far --strip-components=1 || fail "the tarball cannot be unpacked"
works "the tarball" "$work/far/bin" "$work/far/share/spillway"
grep -q '^ExecStart=/usr/local/bin/spillway-mpirun ' far/share/spillway/launch/spillway.service || fail "the tarball: the systemd unit"
# Its own libraries are used, and nothing but glibc and MPI is the machine's, at first hand.
ldd far/bin/spillway >linked
for library in libhwloc libjansson libpcre2-8 libutf8proc libmicrohttpd libedit; do
    grep -q "$library\.so" linked || continue
    grep -q "$library\.so[^ ]* => $work/far/bin/../lib/spillway/" linked || fail "the tarball: $(grep "$library\.so" linked)"
done
readelf -d far/bin/spillway | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r library; do
    case $library in libc.so* | libm.so* | libmpi.so* | ld-linux*) ;; *) [ -e "far/lib/spillway/$library" ] || echo "$library" ;; esac
done >lost
[ -s lost ] && fail "the tarball lacks $(tr '\n' ' ' <lost)"
for library in far/lib/spillway/lib{c,m,mpi}.so*; do
    [ ! -e "$library" ] || fail "the tarball brings $library"
done
readelf -d far/bin/spillway | grep -q 'RPATH.*\$ORIGIN/../lib/spillway' || fail "the program has no RPATH"

# ---- recipes ----
# Each library that the build asks for is in the recipe and in the definition.
cat >names.py <<'PYTHON'
import ast, re, sys
root = sys.argv[1]
asked = re.findall(r"pkg_check_modules\((\w+)", open(f"{root}/CMakeLists.txt").read())
tree = ast.parse(open(f"{root}/launch/spack/packages/spillway/package.py").read())
calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "depends_on"]
spack = {re.split("[@+~ ]", c.args[0].value)[0] for c in calls}
variants = {n.args[0].value for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "variant"}
for call in calls:
    for k in call.keywords:
        if k.arg == "when" and k.value.value[1:] not in variants | {"cuda"}:
            sys.exit(f"the recipe has no variant {k.value.value}")
definition = open(f"{root}/launch/spillway.def").read()
sections = re.findall(r"^%(\w+)", definition, re.M)
if set(sections) - {"files", "post", "runscript", "test", "labels", "environment", "help"}:
    sys.exit(f"the definition has {sections}")
if definition.count("Bootstrap: docker") != 2 or definition.count("Stage: ") != 2:
    sys.exit("the definition has not two stages")
for line in re.findall(r"^%files\n((?:    .*\n)+)", definition, re.M)[0].splitlines():
    import os
    if not os.path.exists(f"{root}/{line.split()[0]}"):
        sys.exit(f"the definition copies {line.split()[0]}")
for word in re.search(r"^needs_build='(.*?)'", open(f"{root}/launch/setup.sh").read(), re.M | re.S)[1].strip().splitlines():
    if word.split()[2] not in definition:
        sys.exit(f"the definition does not install {word.split()[2]}")
if "cpack -G DEB" in definition and "dpkg-dev file " not in definition:
    sys.exit("the definition makes a .deb without the program file")  # cpack wants it and dpkg-shlibdeps
options = set(re.findall(r"option\((\w+)", open(f"{root}/CMakeLists.txt").read() + open(f"{root}/src/gpu/library.cmake").read()))
for call in ast.walk(tree):
    if isinstance(call, ast.Call) and getattr(call.func, "attr", "").startswith("define"):
        if call.args[0].value not in options | {"CMAKE_CUDA_ARCHITECTURES"}:
            sys.exit(f"the recipe sets {call.args[0].value}, which is no option")
known = {"JANSSON": "jansson", "HWLOC": "hwloc", "PCRE2": "pcre2", "UTF8PROC": "utf8proc", "CUNIT": None,
         "MICROHTTPD": "libmicrohttpd", "LIBEDIT": "libedit"}
for name in asked:
    if known[name] and known[name] not in spack:
        sys.exit(f"the recipe does not depend on {known[name]}")
print(*re.findall(r"[a-z0-9+.-]+", " ".join(re.findall(r"install -y --no-install-recommends (.*?)\n    (?:cmake|rm)", definition, re.S)[0].replace("\\", "").split())))
PYTHON
python3 names.py "$root" >packages 2>err || fail "recipes"
if apt-cache show libc6 >/dev/null 2>&1; then
    for package in $(cat packages); do
        apt-cache show "$package" >/dev/null 2>&1 || fail "the definition installs $package, which Debian does not have"
    done
fi
finish
