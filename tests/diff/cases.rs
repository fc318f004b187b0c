//! Small edits of the policies in `rules/`: what people change on a normal day, and by mistake.

/// An edit.
pub(crate) struct Case {
    /// The name of its golden.
    pub(crate) name: &'static str,
    /// The policy, a file of `rules/`.
    pub(crate) policy: &'static str,
    /// What stands in it, once.
    pub(crate) find: &'static str,
    /// What stands there afterwards.
    pub(crate) put: &'static str,
}

const fn case(
    name: &'static str,
    policy: &'static str,
    find: &'static str,
    put: &'static str,
) -> Case {
    Case {
        name,
        policy,
        find,
        put,
    }
}

/// Every edit.
pub(crate) const CASES: &[Case] = &[
    case(
        "web-ssh-for-all",
        "web-host",
        "ssh: allow tcp from @office to port ssh\n",
        "ssh: allow tcp to port ssh\n",
    ),
    case(
        "web-office-grows",
        "web-host",
        "set office = { 10.20.0.0/16, ",
        "set office = { 10.20.0.0/15, ",
    ),
    case(
        "web-without-quic",
        "web-host",
        "quic: allow udp to port https\n",
        "",
    ),
    case(
        "web-other-words",
        "web-host",
        "quic: allow udp to port https\n",
        "http3: allow udp to port 443\n",
    ),
    case(
        "database-slower",
        "database-host",
        "above 200 connections/second burst 400",
        "above 100 connections/second burst 200",
    ),
    case(
        "database-drop-not-reject",
        "database-host",
        "wrong-place: reject tcp from @company",
        "wrong-place: drop tcp from @company",
    ),
    case(
        "bastion-open-outward",
        "bastion",
        "default out drop log",
        "default out allow log",
    ),
    case(
        "gateway-link-local",
        "home-gateway",
        "drop from not @inside, fe80::/10, :: log",
        "drop from not @inside, :: log",
    ),
    case(
        "gateway-rule-too-late",
        "home-gateway",
        "    outward: allow from @inside\n",
        "    outward: allow from @inside\n    guests: drop tcp from @inside to port smtp\n",
    ),
    case(
        "mail-without-essentials",
        "mail-host",
        "include <essentials>\n",
        "",
    ),
    case(
        "router-ttl",
        "management-plane",
        "to port bgp if ttl >= 254",
        "to port bgp if ttl >= 64",
    ),
    case(
        "router-not-own",
        "management-plane",
        "transit: allow to not @own",
        "transit: allow to @own",
    ),
    case(
        "anycast-longer-ntp",
        "anycast-node",
        "if length > 1_100",
        "if length > 500",
    ),
    case(
        "container-any-resolver",
        "container-host",
        "allow out udp, tcp to @resolvers:domain",
        "allow out udp, tcp to port domain",
    ),
    case(
        "container-opens-connections",
        "container-host",
        "if socket exists and no tcp flags syn no ack",
        "if socket exists",
    ),
    case(
        "pods-metadata-tls",
        "pods-egress",
        "to 169.254.169.254:80\nlink",
        "to 169.254.169.254:{80, 443}\nlink",
    ),
    case(
        "tenants-other-socket",
        "tenants",
        "tcp 198.51.100.9:443 -> sock dedicated",
        "tcp 198.51.100.9:443 -> sock proxy",
    ),
    case(
        "resolver-more-inside",
        "resolver",
        "set inside = { 10.0.0.0/8, ",
        "set inside = { 10.0.0.0/8, 192.168.0.0/16, ",
    ),
    case(
        "site-open-before-it-listens",
        "site-host",
        "public: allow tcp to port @web if socket exists",
        "public: allow tcp to port @web",
    ),
    case(
        "blocklist-telnet-too",
        "live-blocklist",
        "ssh: allow tcp to port ssh\n",
        "ssh: allow tcp to port {ssh, telnet}\n",
    ),
    case(
        "voice-other-mark",
        "voip-qos",
        "if dscp ef mark 0x10",
        "if dscp ef mark 0x11",
    ),
    case(
        "trunk-one-more-vlan",
        "vlan-trunk",
        "vlan 20, vlan 30 }",
        "vlan 20, vlan 30, vlan 40 }",
    ),
];
