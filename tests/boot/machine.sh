#!/bin/bash
# A machine that starts: systemd as process 1 of namespaces of its own, with nothing of this machine but /usr, read-only.
# machine.sh FOLDER SOCKC UNITS
# FOLDER holds `disk` (its /var/lib/sockc), `etc` (what is in its /etc/sockc), `probe` (a script that runs when the firewall has to
# be in force) and `out` (where that writes). It ends by itself when the script has ended.
set -euo pipefail

# The script calls itself, further inside each time.
stage=${stage:-outside}
folder=$1 sockc=$2 units=$3

outside() {
    # The machine's control groups are below one of ours, in a hierarchy of version 2 that it finds alone.
    local unified group code=0
    unified=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    group=$unified/sockc-boot-$$
    mkdir "$group"
    (
        echo "$BASHPID" > "$group/cgroup.procs"
        stage=inside exec timeout 60 unshare --net --pid --mount --uts --ipc --cgroup --fork --kill-child \
            bash "$0" "$folder" "$sockc" "$units"
    ) || code=$?
    # Those that it has ended are gone from there a moment after it.
    until find "$group" -depth -type d -exec rmdir {} + 2> "$folder/out/rmdir"; do :; done
    # Process 1 of a process namespace that powers off ends by SIGINT.
    [ "$code" = 130 ] || exit "$code"
}

inside() {
    local root=$folder/root name
    mount --make-rprivate /
    mkdir -p "$root"
    mount -t tmpfs -o mode=755 tmpfs "$root"
    cd "$root"
    mkdir -p usr etc/systemd/system var/lib/sockc run proc sys dev tmp root out
    mount --rbind /usr usr
    mount -o remount,bind,ro usr
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$name"
    done
    mount -t tmpfs tmpfs usr/local
    mkdir usr/local/bin
    cp "$sockc" usr/local/bin/sockc
    mount --bind "$folder/disk" var/lib/sockc
    mount --bind "$folder/out" out
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t bpf bpf sys/fs/bpf
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    cp -r "$folder/etc" etc/sockc
    cp "$folder/probe" usr/local/bin/probe
    cp "$units"/* etc/systemd/system/
    : > etc/fstab
    echo 0123456789abcdef0123456789abcdef > etc/machine-id
    echo 'ID=test' > etc/os-release
    echo 'root:x:0:0::/root:/bin/sh' > etc/passwd
    echo 'root:x:0:' > etc/group
    # There is no journal.
    mkdir etc/systemd/system/sockc.service.d
    printf '[Service]\nStandardError=append:/out/said\n' > etc/systemd/system/sockc.service.d/said.conf
    cat > etc/systemd/system/started.target << 'UNIT'
[Unit]
Wants=sockc.service probe.service
UNIT
    # As whatever brings a network up.
    cat > etc/systemd/system/probe.service << 'UNIT'
[Unit]
DefaultDependencies=no
Wants=network-pre.target
After=network-pre.target
[Service]
Type=oneshot
ExecStart=/bin/bash /usr/local/bin/probe
ExecStopPost=/bin/kill -s RTMIN+14 1
UNIT
    exec env -i container=sockc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot . /usr/lib/systemd/systemd --system --unit=started.target --log-target=console --show-status=0
}

"$stage"
