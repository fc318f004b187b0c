//! Rule sets in the manner of what programs write that use iptables, shortened: for each also what the policy has to hold to.
//!
//! Not here: what is done with them.

#[path = "gateways.rs"]
mod gateways;

use gateways::{CSF, OPENWRT, SHOREWALL, TAILSCALE};

/// A rule set of a program.
pub(super) struct Written {
    /// The program.
    pub(super) by: &'static str,
    /// What iptables-save prints.
    pub(super) text: &'static str,
    /// Lines of a policy that hold for what it becomes.
    pub(super) holds: &'static str,
    /// How many of its rules are left out.
    pub(super) left_out: usize,
}

pub(super) const ALL: [Written; 10] = [
    UFW, FIREWALLD, DOCKER, FAIL2BAN, LIBVIRT, KUBE_PROXY, SHOREWALL, OPENWRT, CSF, TAILSCALE,
];

const UFW: Written = Written {
    by: "ufw",
    text: r#"*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-after-input - [0:0]
:ufw-after-logging-input - [0:0]
:ufw-before-input - [0:0]
:ufw-logging-deny - [0:0]
:ufw-not-local - [0:0]
:ufw-skip-to-policy-input - [0:0]
:ufw-user-input - [0:0]
:ufw-user-limit - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-after-logging-input
-A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input
-A ufw-after-logging-input -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-skip-to-policy-input -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource
-A ufw-user-input -p tcp -m tcp --dport 22 -m comment --comment "the admins' door" -j ACCEPT
-A ufw-user-input -s 10.0.0.0/8 -p tcp -m multiport --dports 80,443 -j ACCEPT
COMMIT
"#,
    holds: "expect allow tcp from any to 192.0.2.1:22
expect allow tcp from 10.1.2.3:4000 to 192.0.2.1:443
expect drop tcp from 192.0.2.7:4000 to 192.0.2.1:443 on interface eth0 with no socket
expect allow tcp from 192.0.2.7:443 to 192.0.2.1:4000 with socket established
expect allow udp from 192.0.2.7:67 to 192.0.2.1:68
expect drop udp from 192.0.2.7:4000 to 255.255.255.255:137 on interface eth0 with no socket
expect drop forward udp from any to 192.0.2.1:53
",
    left_out: 3,
};

const FIREWALLD: Written = Written {
    by: "firewalld",
    text: r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:INPUT_ZONES - [0:0]
:IN_public - [0:0]
:IN_public_allow - [0:0]
:IN_public_deny - [0:0]
:IN_public_log - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -j INPUT_ZONES
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A INPUT_ZONES -i eth0 -g IN_public
-A INPUT_ZONES -g IN_public
-A IN_public -j IN_public_log
-A IN_public -j IN_public_deny
-A IN_public -j IN_public_allow
-A IN_public -p icmp -j ACCEPT
-A IN_public_allow -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT
-A IN_public_allow -d 224.0.0.251/32 -p udp -m udp --dport 5353 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT
COMMIT
"#,
    holds: "expect allow tcp from any to 192.0.2.1:22 with tcp flags syn no ack no rst no fin
expect allow icmp from any to 192.0.2.1
expect reject tcp from 192.0.2.7:4000 to 192.0.2.1:80 on interface eth0 with no socket
",
    left_out: 1,
};

const DOCKER: Written = Written {
    by: "Docker",
    text: r#"*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"#,
    holds: "expect allow forward tcp from 172.17.0.2:4000 to 192.0.2.1:443 on interface docker0 to interface eth0
expect allow forward tcp from 192.0.2.1:4000 to 172.17.0.2:80 on interface eth0 to interface docker0
expect drop forward tcp from 192.0.2.1:4000 to 172.17.0.2:81 on interface eth0 to interface docker0
expect allow tcp from any to 192.0.2.1:22
",
    // Its NAT, what is established, and what goes from docker0 to docker0.
    left_out: 5,
};

const FAIL2BAN: Written = Written {
    by: "fail2ban",
    text: r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s 203.0.113.7/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
"#,
    holds: "expect reject tcp from 203.0.113.7:4000 to 192.0.2.1:22 on interface eth0
expect allow tcp from 203.0.113.8:4000 to 192.0.2.1:22
expect allow tcp from 203.0.113.7:4000 to 192.0.2.1:80
",
    left_out: 0,
};

const LIBVIRT: Written = Written {
    by: "libvirt",
    text: r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
:LIBVIRT_INP - [0:0]
:LIBVIRT_OUT - [0:0]
-A INPUT -j LIBVIRT_INP
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A OUTPUT -j LIBVIRT_OUT
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 67 -j ACCEPT
-A LIBVIRT_OUT -o virbr0 -p udp -m udp --dport 68 -j ACCEPT
COMMIT
"#,
    holds: "expect allow forward tcp from 192.168.122.2:4000 to 192.0.2.1:443 on interface virbr0 to interface eth0
expect reject forward tcp from 10.0.0.1:4000 to 192.0.2.1:443 on interface virbr0 to interface eth0
expect allow udp from 192.168.122.2:68 to 192.168.122.1:67 on interface virbr0
expect allow out udp from any to 192.168.122.2:68
",
    left_out: 2,
};

const KUBE_PROXY: Written = Written {
    by: "kube-proxy",
    text: r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-EXTERNAL-SERVICES -d 203.0.113.5/32 -p tcp -m comment --comment "default/web:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/lb:http health check node port" -m tcp --dport 31000 -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment "default/gone:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
COMMIT
"#,
    holds:
        "expect reject tcp from 192.0.2.9:4000 to 203.0.113.5:80 on interface eth0 with no socket, tcp flags syn no ack no rst no fin
expect allow tcp from 192.0.2.9:4000 to 203.0.113.5:81
expect drop out tcp from 192.0.2.9:4000 to 10.96.0.9:80 with tcp flags syn no ack
expect allow forward tcp from any to 192.0.2.1:80
",
    // What is INVALID, ESTABLISHED or NEW of what passes through.
    left_out: 3,
};

/// Rules of IPv6 whose `out` is beyond a limit of the kernel, as many conditions are asked of the same packets.
pub(super) const TOO_LARGE: &str = "*filter\n\
:INPUT ACCEPT [0:0]\n\
:OUTPUT ACCEPT [0:0]\n\
:FORWARD ACCEPT [0:0]\n\
:OU-u0 - [0:0]\n\
:OU-u1 - [0:0]\n\
:OU-u2 - [0:0]\n\
-A OUTPUT -s 2001:db8::/46 -o wg0 -m length --length 20:100 -g OU-u1\n\
-A OUTPUT ! -d 2001:db8:1::/48 ! -p tcp -m dscp --dscp 0x2e -g OU-u1\n\
-A OUTPUT -p udp -m multiport --sports 443 -j OU-u0\n\
-A OUTPUT -d 2001:db8:2::/47 -p udp -j OU-u2\n\
-A OUTPUT -s ::/0 -g OU-u1\n\
-A OU-u0 -m hl --hl-eq 0 -g OU-u1\n\
-A OU-u0 -d 2001:db8:1::2/128 -j OU-u2\n\
-A OU-u1 -d 2001:db8:2::2/127 -j OU-u2\n\
-A OU-u1 ! -s 2001:db8:3::1/128 -m mark --mark 0x1/0x1 -j OU-u2\n\
-A OU-u1 -o wg0 -g OU-u2\n\
-A OU-u2 -d 2001:db8:2::/48\n\
-A OU-u2 ! -s 2001:db8::/46 -d 2001:db8:1::2/127 -m mark --mark 0x1/0x3 -j DROP\n\
-A OU-u2 -d 2001:db8:2::/128 -p tcp -m tcp ! --tcp-flags RST,URG NONE -j REJECT --reject-with icmp6-port-unreachable\n\
-A OU-u2 -d 2001:db8::/46 -j ACCEPT\n\
COMMIT\n";
