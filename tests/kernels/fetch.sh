#!/bin/bash
# fetch.sh CACHE: brings the kernels and the tools that boot them into the folder CACHE, once.
#
# Takes: a Debian or a relative of it with apt; no rights. Everything comes from the package sources that this machine
# already uses, through an apt root of its own, so that the machine's package lists are not touched.
# Gives: CACHE/tools/{qemu,busybox} and CACHE/KERNEL/{vmlinuz,version,modules,mod/*.ko} for each line of `kernels`.
# Exit 0: all is there. Exit 2: it cannot be had here; the reason is the last line of stderr.
# Not here: building the initramfs and booting (machine.rs).
set -euo pipefail

cache=${1:?usage: fetch.sh CACHE}

# Name, suites, metapackage. Versioned packages vanish at every security update: only the metapackage keeps its name.
# 5.10 is the oldest supported kernel; 6.1 is the last without tcx and cpu v4, 6.12 the first long-term one with both.
kernels='5.10 bullseye,bullseye-security linux-image-cloud-amd64
6.1 bookworm,bookworm-security linux-image-cloud-amd64
6.12 trixie,trixie-security linux-image-cloud-amd64'

# What Debian's cloud kernels have as modules only: TC, and a device with two ends.
modules='sch_ingress cls_bpf act_bpf veth dummy'
# What not all of them have: TLS of the kernel, and what tells of which control group a socket is.
perhaps='tls inet_diag tcp_diag'

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

cannot() {
    echo "$*" >&2
    exit 2
}

# The address of an archive (debian, debian-security), as the machine's own sources write it.
archive() {
    local sources=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
    { cat "${sources[@]}" 2>/dev/null || true; } | grep -v '^ *#' |
        grep -oE "[a-z+]+://[^] ]*/$1/?( |\$)" | tr -d ' ' | sort -u | head -1
}

# Options that give apt a root of its own in the folder $1. Hooks of the machine (some images empty the archive
# folder after each update) are cleared; old suites may have an expired Release file.
apt_root() {
    mkdir -p "$1"/{state/lists/partial,cache/archives/partial,parts}
    printf '#clear %s;\n' APT::Update::Post-Invoke APT::Update::Post-Invoke-Success DPkg::Post-Invoke >"$1/clear.conf"
    apt=(-q -c "$1/clear.conf" -o Dir::State="$1/state" -o Dir::Cache="$1/cache"
        -o Dir::Cache::pkgcache=packages.bin -o Dir::Cache::srcpkgcache=sources.bin
        -o Debug::NoLocking=1 -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root)
}

# The same with the suites $2 of the Debian archive as the only sources, and nothing installed.
apt_root_of_suites() {
    local main security suite address
    main=$(archive debian) security=$(archive debian-security)
    [ -n "$main" ] && [ -n "$security" ] || cannot "no Debian archive among this machine's package sources"
    apt_root "$1"
    : >"$1/status"
    for suite in ${2//,/ }; do
        case $suite in *-security) address=$security ;; *) address=$main ;; esac
        echo "deb [signed-by=$keyring] $address $suite main"
    done >"$1/sources.list"
    apt+=(-o Dir::Etc::sourcelist="$1/sources.list" -o Dir::Etc::sourceparts="$1/parts"
        -o Dir::Etc::preferencesparts="$1/parts" -o Dir::State::status="$1/status" -o APT::Architecture=amd64
        -o APT::Update::Error-Mode=any)
}

# Unpacks every package of the folder $1 into the folder $2.
unpack() {
    mkdir -p "$2"
    local package
    for package in "$1"/*.deb; do dpkg-deb -x "$package" "$2"; done
}

# Takes the module $1 out of what is unpacked in $work/root.
take_module() {
    local found
    found=$(find "$work/root" -name "$1.ko" -o -name "$1.ko.xz" | head -1)
    case $found in
        *.xz) xz -dc "$found" >"$work/out/mod/$1.ko" ;;
        ?*) cp "$found" "$work/out/mod/$1.ko" ;;
        *) return 1 ;;
    esac
}

# One kernel: name, suites, metapackage.
fetch_kernel() {
    local to=$cache/$1 work image module
    [ "$(cat "$to/modules" 2>/dev/null)" = "$modules $perhaps" ] && return
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    apt_root_of_suites "$work" "$2"
    apt-get "${apt[@]}" update >"$work/log" 2>&1 || cannot "apt-get update of $2: $(tail -1 "$work/log")"
    image=$(apt-cache "${apt[@]}" show "$3" | sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*\).*/\1/p' | head -1)
    [ -n "$image" ] || cannot "no kernel behind $3 in $2"
    mkdir "$work/deb" "$work/out" "$work/out/mod"
    (cd "$work/deb" && apt-get "${apt[@]}" download "$image" >"$work/log" 2>&1) ||
        cannot "apt-get download $image: $(tail -1 "$work/log")"
    unpack "$work/deb" "$work/root"
    cp "$work"/root/boot/vmlinuz-* "$work/out/vmlinuz"
    for module in $modules; do
        take_module "$module" || cannot "$image has no module $module"
    done
    for module in $perhaps; do
        take_module "$module" || true
    done
    echo "$modules $perhaps" >"$work/out/modules"
    echo "$image" >"$work/out/version"
    rm -rf "$to"
    mv "$work/out" "$to"
    echo "fetched kernel $1: $image"
}

# QEMU and busybox: the machine's own, else unpacked next to the kernels. Unpacked rather than installed, since that
# needs no rights and since an installation may want to remove other packages.
fetch_tools() {
    local to=$cache/tools work missing=()
    [ -x "$to/qemu" ] && [ -x "$to/busybox" ] && return
    command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    command -v busybox >/dev/null || missing+=(busybox-static)
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    mkdir "$work/out"
    if [ ${#missing[@]} -gt 0 ]; then
        apt_root "$work"
        apt+=(-o Dir::State::status=/var/lib/dpkg/status)
        apt-get "${apt[@]}" update >"$work/log" 2>&1 || cannot "apt-get update: $(tail -1 "$work/log")"
        apt-get "${apt[@]}" install --download-only --yes --no-install-recommends "${missing[@]}" >"$work/log" 2>&1 ||
            cannot "apt-get install --download-only ${missing[*]}: $(tail -1 "$work/log")"
        unpack "$work/cache/archives" "$work/out/root"
    fi
    if command -v busybox >/dev/null; then
        cp "$(command -v busybox)" "$work/out/busybox"
    else
        cp "$work/out/root/bin/busybox" "$work/out/busybox"
    fi
    write_qemu >"$work/out/qemu"
    chmod +x "$work/out/qemu"
    rm -rf "$to"
    mv "$work/out" "$to"
}

# A QEMU that finds its libraries and its firmware, which is spread over three packages.
write_qemu() {
    if command -v qemu-system-x86_64 >/dev/null; then
        printf '#!/bin/sh\nexec qemu-system-x86_64 "$@"\n'
        return
    fi
    cat <<'WRAPPER'
#!/bin/sh
root=$(dirname "$0")/root
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu"
exec "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" \
    -L "$root/usr/lib/ipxe/qemu" "$@"
WRAPPER
}

[ "$(uname -m)" = x86_64 ] || cannot "the kernels are for x86_64, this is $(uname -m)"
for tool in apt-get dpkg-deb xz flock; do
    command -v $tool >/dev/null || cannot "no $tool on this machine"
done
[ -e $keyring ] || cannot "no $keyring"
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/lock"
flock 9
trap 'rm -rf "$cache"/.fetch.*' EXIT
fetch_tools
while read -r name suites package; do
    fetch_kernel "$name" "$suites" "$package"
done <<<"$kernels"
