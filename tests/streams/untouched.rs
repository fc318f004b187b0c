//! Programs of others in a group whose rules are about another prefix: what they do with their sockets is what they do without a
//! policy, call for call, byte for byte and errno for errno, as strace(1) shows it.
//!
//! Each is done twice without a policy and once under each of [`POLICIES`], over loopback. What differs from run to run is made
//! equal: numbers of descriptors, ports, and waits, which end as the machine has it. Where a program itself does not do the same
//! twice, it is done without a policy until it has done so as under the policy, some times.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::place::*;

/// Rules about a prefix that nobody here talks to.
const POLICIES: [&str; 3] = [
    "default send allow\nGROUP\ndrop send tcp from group pods to 203.0.113.0/24\n",
    "default send allow\ndefault receive allow\nGROUP\ndrop send tcp from group pods to 203.0.113.0/24\ndrop receive tcp from 203.0.113.0/24 to group pods\n",
    "default send allow\nGROUP\nshortcut tcp within group pods to 203.0.113.0/24\n",
];

/// How often a program that does not do the same twice may be asked again.
const TRIES: usize = 8;

/// What is looked at: its name, and a script of the shell, in which `TRACE` stands for strace and all its options, and `DIR` for a folder
/// of its own.
const PROGRAMS: [(&str, &str); 6] = [
    ("perl", PERL),
    ("python3", PYTHON),
    ("nc", NC),
    ("redis-server", REDIS),
    ("curl", CURL),
    ("nginx", NGINX),
];

/// Both ends of a connection, in one process: what it reads and how it ends.
const PERL: &str = r#"TRACE perl -MIO::Socket::INET -e '
my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1");
my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $l->sockport);
my $s = $l->accept;
for my $n (1 .. 4) {
    syswrite $c, "x" x (100 * $n); sysread $s, my $got, 5000;
    my $waiting = pack "i", 0; syswrite $s, "yes"; ioctl $c, 0x541b, $waiting;
    recv $c, $got, 2, 2; sysread $c, $got, 100;
}
shutdown $c, 1; sysread $s, my $end, 10; syswrite $s, "bye"; sysread $c, $end, 10;
$SIG{PIPE} = "IGNORE"; syswrite $c, ""; syswrite $c, "late"; close $s; sysread $c, $end, 10;'"#;

const PYTHON: &str = r#"TRACE /usr/bin/python3 -S -c '
import os, socket, struct
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
s, _ = l.accept()
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 6)
for n in range(4):
    s.sendall(b"abc"); s.sendall(b"defghi"); c.recv(4, socket.MSG_PEEK); c.recv(9, socket.MSG_WAITALL)
c.send(b"!", socket.MSG_OOB); c.sendmsg([b"one", b"two"]); s.recv(1, socket.MSG_OOB); s.recv(100)
f = os.memfd_create("data"); os.write(f, b"z" * 9000)
os.sendfile(c.fileno(), f, 0, 9000); s.recv(9000, socket.MSG_WAITALL)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
for _ in range(3):
    for call in (lambda: c.send(b"more"), lambda: c.recv(10)):
        try: call()
        except OSError: pass
'"#;

/// A client that ends its side and reads the answer then.
const NC: &str = r#"perl -MIO::Socket::INET -e '
my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 7100);
open my $f, ">", "DIR/up"; close $f; my $s = $l->accept; my @all = <$s>; print $s "answer\n"; close $s' &
until [ -e DIR/up ]; do sleep 0.01; done
printf 'question\n' | TRACE nc -N 127.0.0.1 7100; wait"#;

const REDIS: &str = r#"redis-server --port 7200 --bind 127.0.0.1 --save '' --appendonly no --dir DIR --daemonize no > DIR/log &
server=$!
until redis-cli -p 7200 ping > DIR/ping 2>&1 && grep -q PONG DIR/ping; do sleep 0.02; done
TRACE sh -c 'for n in 1 2 3; do redis-cli -p 7200 set key value$n; redis-cli -p 7200 append key more; redis-cli -p 7200 get key; done' > DIR/said
redis-cli -p 7200 shutdown nosave; wait $server"#;

const SERVE: &str = r#"mkdir -p DIR/tmp; head -c 30000 /dev/zero | tr '\0' z > DIR/file
printf 'daemon off; master_process off; pid DIR/pid; error_log DIR/errors; events {} http { access_log off; client_body_temp_path DIR/tmp; proxy_temp_path DIR/tmp; fastcgi_temp_path DIR/tmp; uwsgi_temp_path DIR/tmp; scgi_temp_path DIR/tmp; sendfile on; tcp_nopush on; server { listen 127.0.0.1:7300; root DIR; } }' > DIR/conf; touch -d @1000000000 DIR/file DIR/conf
"#;
const CURL: &str = r#"SERVEnginx -c DIR/conf -e DIR/errors & server=$!
until [ -s DIR/pid ]; do sleep 0.02; done
TRACE curl -sS --http1.1 http://127.0.0.1:7300/conf http://127.0.0.1:7300/none -o DIR/one -o DIR/two
kill $server; wait $server"#;
const NGINX: &str = r#"SERVETRACE nginx -c DIR/conf -e DIR/errors & server=$!
until [ -s DIR/pid ]; do sleep 0.02; done
for what in conf file none; do curl -sS http://127.0.0.1:7300/$what -o DIR/got; done
kill $(cat DIR/pid); wait $server"#;

#[test]
fn programs_whom_no_rule_is_about_do_what_they_do_without_a_policy() {
    let missing = [
        "strace",
        "perl",
        "/usr/bin/python3",
        "nc",
        "redis-server",
        "nginx",
        "curl",
    ];
    let is_there = |tool: &str| {
        let asked = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    if let Some(tool) = missing.into_iter().find(|tool| !is_there(tool)) {
        println!("no {tool}");
        return skip("programs of others");
    }
    inside(|place| {
        let plain: Vec<BTreeSet<_>> = PROGRAMS
            .iter()
            .map(|one| [(); 2].map(|()| trace(place, one)).into())
            .collect();
        for policy in POLICIES {
            place.apply(policy);
            let under: Vec<_> = PROGRAMS.iter().map(|one| trace(place, one)).collect();
            place.unload();
            for ((program, plain), under) in PROGRAMS.iter().zip(&plain).zip(under) {
                let mut plain = plain.clone();
                for _ in 0..TRIES {
                    if plain.contains(&under) {
                        break;
                    }
                    plain.insert(trace(place, program));
                }
                assert!(
                    plain.contains(&under),
                    "{}, {policy}{}",
                    program.0,
                    difference(&plain, &under)
                );
            }
        }
    });
}

/// What a program does with its sockets.
fn trace(place: &Place, (name, script): &(&str, &str)) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("untouched-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let at = folder.display().to_string();
    let options = format!("strace -f -yy -s 500 -o {at}/trace");
    let script = script
        .replace("SERVE", SERVE)
        .replace("TRACE", &options)
        .replace("DIR", &at);
    let mut child: Child = place
        .lab
        .client
        .run(|| {
            // It goes on when it is in the group.
            let script = format!("read go\n{script}");
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &script])
                .stdin(Stdio::piped())
                .stdout(Stdio::null());
            shell.spawn().unwrap()
        })
        .unwrap();
    place.group.join(child.id()).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap();
    let trace = fs::read_to_string(folder.join("trace")).unwrap();
    let _ = fs::remove_dir_all(&folder);
    let calls = trace
        .lines()
        .filter(|line| line.contains("<TCP"))
        .map(normal);
    let calls: Vec<_> = calls.filter(|call| !is_wait(call)).collect();
    assert!(calls.len() > 5, "{name}: {trace}");
    calls.join("\n")
}

/// The first line that is none of the plain run most like it.
fn difference(plain: &BTreeSet<String>, under: &str) -> String {
    let same = |one: &String| {
        one.lines()
            .zip(under.lines())
            .take_while(|(one, other)| one == other)
            .count()
    };
    let nearest = plain.iter().max_by_key(|one| same(one)).unwrap();
    let at = |text: &str| {
        text.lines()
            .nth(same(nearest))
            .unwrap_or("nothing")
            .to_owned()
    };
    format!("without: {}\nunder it: {}", at(nearest), at(under))
}

/// Whether a call waits for several descriptors: what is ready then, and how often, is a matter of the moment.
fn is_wait(call: &str) -> bool {
    ["poll", "ppoll", "epoll_", "select", "pselect", "restart_"]
        .iter()
        .any(|name| call.starts_with(name))
}

/// A line of strace without what differs from run to run: the process, numbers of descriptors, ports, addresses of the stack, dates, room.
fn normal(line: &str) -> String {
    let line = line
        .split_once(char::is_whitespace)
        .map_or(line, |(_, call)| call.trim_start());
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('<') {
        // `3<TCP:[127.0.0.1:80->127.0.0.1:1234]>`: the number before, and what is in the brackets.
        out.push_str(before.trim_end_matches(|char: char| char.is_ascii_digit()));
        let (what, after) = after.split_once('>').unwrap_or((after, ""));
        out.push('<');
        out.push_str(what.split(':').next().unwrap_or_default());
        out.push('>');
        rest = match what.ends_with('-') {
            // The arrow between the two ends of a connection.
            true => after.split_once('>').map_or("", |(_, after)| after),
            false => after,
        };
    }
    out.push_str(rest);
    let out = without(&without(&out, "htons(", ")"), "0x7f", ",)} ");
    let out = without(&out, "Date: ", "\\");
    // At the end of a stream: what room the program has depends on whether it has written what it read.
    without(&out, "\"\", ", ",)")
}

/// A text without what stands between the words `from` and the next of the characters `to`.
fn without(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part.find(|char| to.contains(char)).unwrap_or(part.len());
        format!("{text}{from}{}", &part[end..])
    })
}
