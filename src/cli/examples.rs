//! What stands below the options of each verb's `--help`: command lines to start from, and where to read on.
//!
//! A test parses every one of them. Not here: what they do.

pub(super) const CHECK: &str = "Examples:
  sockc check edge.sk
  git show HEAD:edge.sk | sockc check -
  sockc check edge.sk --deny all --guard company.sk

More: docs/commands.md, docs/diagnostics.md";

pub(super) const FMT: &str = "Examples:
  sockc fmt edge.sk
  sockc fmt --check --diff edge.sk lists.sk

More: docs/text.md";

pub(super) const COMPILE: &str = "Examples:
  sockc compile edge.sk -o edge.o
  sockc compile edge.sk --emit placement

More: docs/placement.md";

pub(super) const EXPLAIN: &str = "Examples:
  sockc explain edge.sk 'tcp from 8.8.8.8:40000 to 192.0.2.1:22'
  sockc explain edge.sk 'tcp from 8.8.8.8:40000 to 192.0.2.1:22 with socket listening' --all
  sockc explain router.sk 'forward udp from 10.0.0.1:9 to 192.0.2.1:53 on interface eth1 to interface eth0'
  sockc explain edge.sk --pcap monday.pcap --local 192.0.2.0/28

More: docs/packets.md";

pub(super) const DIFF: &str = "Examples:
  sockc diff old.sk new.sk
  git show main:edge.sk | sockc diff - edge.sk --markdown
  sockc diff running new.sk --netns blue
  sockc diff running:12 running
  sockc diff old.sk new.sk --replay monday.pcap --exit-code

More: docs/diff.md, docs/replay.md";

pub(super) const TEST: &str = "Examples:
  sockc test edge.sk company.sk
  sockc test edge.sk --mutate
  sockc test edge.sk --mutate --at-most 500 --write-expects more.sk

More: docs/expect.md, docs/guards.md";

pub(super) const TRY: &str = "Examples:
  sockc try edge.sk
  sockc try edge.sk 'udp from 8.8.8.8:40000 to 192.0.2.1:53'

More: docs/packets.md";

pub(super) const PLAN: &str = "Examples:
  sockc plan edge.sk
  sockc plan edge.sk --interface eth0 -o edge.plan

More: docs/plan.md, docs/guards.md";

pub(super) const APPLY: &str = "Examples:
  sockc apply edge.sk
  sockc apply edge.plan --yes
  sockc apply edge.sk --confirm 60s
  sockc apply edge.sk --lock-me-out --confirm 3m
  sockc apply edge.sk --note 'ticket NET-88'
  sockc apply --running --interface br-x
  sockc apply --running --watch
  sockc apply --boot --yes

More: docs/commands.md, docs/interfaces.md, docs/boot.md";

pub(super) const ANSWER: &str = "Examples:
  sockc answer --group adm
  sockc answer --listen systemd

More: docs/rights.md, docs/commands.md";

pub(super) const CONFIRM: &str = "Examples:
  sockc confirm
  sockc confirm --same-connection

More: docs/commands.md";

pub(super) const DOCTOR: &str = "Examples:
  sockc doctor
  sockc doctor --netns blue --json

More: docs/commands.md";

pub(super) const STATUS: &str = "Examples:
  sockc status
  sockc status --netns blue --json

More: docs/commands.md";

pub(super) const COUNTERS: &str = "Examples:
  sockc counters --nonzero
  sockc counters --rule web --rule edge.sk:12
  sockc counters --watch=5 --nonzero
  sockc counters --reset web

More: docs/commands.md";

pub(super) const MONITOR: &str = "Examples:
  sockc monitor
  sockc monitor --rule ssh --verdict drop tcp from 203.0.113.0/24 to any:22
  sockc monitor --json --for 30s 'out udp to any:53'
  sockc monitor --count 1 'tcp if tcp flags syn no ack'
  sockc monitor --pcap-out log.pcapng --for 1m
  sockc monitor --drops=1/1000 udp to any:53

More: docs/monitor.md, docs/verdicts.md";

pub(super) const TOP: &str = "Examples:
  sockc top
  sockc top --netns blue --every 5s
  sockc top --sort bytes --nonzero

More: docs/top.md";

pub(super) const HISTORY: &str = "Examples:
  sockc history
  sockc history --netns blue --json

More: docs/commands.md";

pub(super) const ROLLBACK: &str = "Examples:
  sockc rollback
  sockc rollback 12 --yes --note 'NET-88 taken back'

More: docs/commands.md";

pub(super) const SHOW: &str = "Examples:
  sockc show essentials
  sockc show running
  sockc show running 12 --out /tmp/policy-12

More: docs/structure.md, docs/commands.md";

pub(super) const EXPLAIN_CODE: &str = "Examples:
  sockc explain-code W0601
  sockc explain-code

More: docs/diagnostics.md";

pub(super) const COMPLETIONS: &str = "Examples:
  sockc completions bash
  sockc completions zsh

More: docs/commands.md";

pub(super) const MAN: &str = "Examples:
  sockc man /usr/local/share/man/man1

More: docs/commands.md";

pub(super) const IMPORT: &str = "Examples:
  sockc import tubular bindings.json -o steering.sk
  tubectl bindings | sockc import tubular - --live
  sockc import tubular bindings.json --entries
  sockc import iptables-save rules.v4 --ip6 rules.v6 -o edge.sk
  iptables-save | sockc import iptables-save - --strict
  sockc import iptables-save rules.v4 --ip6 rules.v6 --ipset sets -o edge.sk
  sockc import ufw /etc/ufw --defaults /etc/default/ufw -o edge.sk
  nft -j list ruleset | sockc import nft - -o edge.sk
  sockc import firewalld /etc/firewalld -o edge.sk
  sockc import bfcli rules.bf --interface-name 2=eth0 -o edge.sk

More: docs/coming-from.md";

pub(super) const MAP: &str = "Examples:
  sockc map add tenants 'tcp 198.51.100.7:443 -> sock web'
  sockc map list tenants
  sockc map load tenants tenants.txt

More: docs/declarations.md";

pub(super) const METRICS: &str = "Examples:
  sockc metrics
  sockc metrics --textfile /var/lib/prometheus/node-exporter/sockc.prom
  sockc metrics --listen 127.0.0.1:9814
  sockc metrics --netns /proc/1/ns/net --netns blue --listen unix:/run/sockc-metrics.sock

More: docs/metrics.md";

pub(super) const SET: &str = "Examples:
  sockc set add banned 203.0.113.7 2001:db8::/48 --expires 10m
  sockc set load banned blocklist.txt
  sockc set test banned 203.0.113.7

More: docs/declarations.md";

pub(super) const SOCKET: &str = "Examples:
  sockc socket list
  sockc socket register proxy --pid 1234 --fd 3
  sockc socket register proxy --cookie 0x1267
  sockc socket run proxy --tcp 127.0.0.1:0 -- /usr/sbin/proxy --systemd
  sockc socket listen /run/sockets.sock --mode 660
  sockc socket refresh
  sockc socket pair proxied --listen /run/pairs.sock --mode 660

More: docs/declarations.md";

pub(super) const UNLOAD: &str = "Examples:
  sockc unload
  sockc unload --netns blue --yes

More: docs/commands.md";
