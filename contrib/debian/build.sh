#!/bin/bash
# Makes the Debian package of a sockc that was built.
# build.sh BINARY FOLDER
# Takes a binary that runs on this machine, and the rest from this repository; writes FOLDER/sockc_VERSION_ARCHITECTURE.deb and
# prints its name. Not here: compiling.
#
# It is dpkg-deb by hand and not cargo-deb: manual pages and completions come out of the binary, so there is a step before the
# packing either way, and dpkg-deb is on every Debian, where cargo-deb takes longer to install than all the rest takes.
set -euo pipefail

binary=$(realpath "$1") folder=$(realpath "$2")
cd "$(dirname "$0")/../.."
here=contrib/debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
doc=$root/usr/share/doc/sockc
umask 022

# Puts files into a folder of the package: put FOLDER FILE…
put() {
    local to=$root/$1
    shift
    install -d "$to"
    install -m 0644 "$@" "$to"
}

programs() {
    install -D -m 0755 "$binary" "$root/usr/bin/sockc"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/sockc"
    # Units are written for a sockc that was installed by hand.
    put usr/lib/systemd/system contrib/systemd/*
    sed -i 's|/usr/local/bin/sockc|/usr/bin/sockc|' "$root"/usr/lib/systemd/system/*
    put usr/lib/systemd/system-preset "$here/80-sockc.preset"
}

# What the binary says of itself.
told() {
    "$binary" man "$root/usr/share/man/man1"
    gzip -9n "$root"/usr/share/man/man1/*
    local shares=$root/usr/share
    install -d "$shares"/bash-completion/completions "$shares"/zsh/vendor-completions "$shares"/fish/vendor_completions.d
    "$binary" completions bash > "$shares/bash-completion/completions/sockc"
    "$binary" completions zsh > "$shares/zsh/vendor-completions/_sockc"
    "$binary" completions fish > "$shares/fish/vendor_completions.d/sockc.fish"
}

documents() {
    put usr/share/doc/sockc README.md "$here/copyright" LICENSE-MIT
    put usr/share/doc/sockc/docs docs/*.md docs/*.svg
    put usr/share/doc/sockc/docs/codes docs/codes/*
    install -d "$doc/examples"
    cp -r rules contrib/prometheus contrib/grafana examples/. "$doc/examples"
    gzip -9n < CHANGELOG.md > "$doc/changelog.gz"
    gzip -9n < "$here/changelog" > "$doc/changelog.Debian.gz"
    # A clone may have been made with another umask.
    chmod -R u=rwX,go=rX "$root"
}

# The packages whose libraries the binary wants, as `Depends:` lists them; nothing for a static one.
depends() {
    mkdir -p "$work/source/debian"
    printf 'Source: sockc\n\nPackage: sockc\nArchitecture: any\n' > "$work/source/debian/control"
    # It also warns of what is no fault, so what it says is shown only where it fails.
    (cd "$work/source" && dpkg-shlibdeps -O -e"$root/usr/bin/sockc" > "$work/libraries" 2> "$work/said") \
        || { cat "$work/said" >&2; exit 1; }
    sed -n 's/^shlibs:Depends=/Depends: /p' "$work/libraries"
}

control() {
    install -d "$root/DEBIAN"
    local size depends
    size=$(du -k -s --apparent-size "$root" | cut -f 1)
    depends=$(depends)
    sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/^@DEPENDS@$/$depends/" \
        -e '/^$/d' "$here/control" > "$root/DEBIAN/control"
    install -m 0755 "$here"/{postinst,prerm,postrm} "$root/DEBIAN"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
}

version=$(dpkg-parsechangelog -l "$here/changelog" -S Version)
says=$("$binary" --version)
[ "$says" = "sockc ${version%-*}" ] || { echo "$binary is $says, and $here/changelog is about $version" >&2; exit 1; }
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$here/changelog" -S Timestamp)
export SOURCE_DATE_EPOCH
programs
told
documents
control
package=$folder/sockc_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" > "$work/said"
echo "$package"
