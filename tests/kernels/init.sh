#!/bin/busybox sh
# The guest's first process: brings up what the test may need, runs it, says how it ended, switches off.
# The host judges by the last line alone, since QEMU exits 0 after a panic too.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /tmp
mkdir /tmp/cgroup && mount -t cgroup2 cgroup2 /tmp/cgroup
ifconfig lo up
for module in /mod/*.ko; do insmod "$module"; done
# 5.10 charges maps and programs to this limit.
ulimit -l unlimited
export SOCKC_GUEST=/work
# The tests by whose name this file begins, where only some are for guests.
/test --nocapture --test-threads 1 $(cat /work/only 2>/dev/null) 2>&1
echo "@@EXIT $? $(uname -r)"
sync
reboot -f
