//! Many connections that live for one question and one answer, as those of HTTP/1.0 and DNS over TCP do.
//!
//! The clients and the server are processes of the group, this program run again: they make all sockets themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use sockc_runtime::lab::Space;

use crate::place::*;
use crate::shortcut::{PATIENCE, SHORTCUT, all_of};

/// What the other processes do: `serve CONNECTIONS`, or `ask CONNECTIONS PORT`.
const ROLE: &str = "SOCKC_TEST_SHORT";
/// A port stands a minute for each address that it has called, so the calls go to several.
const SERVERS: u64 = 16;

/// Not a test by itself: it is run by the tests below as another process.
#[test]
fn process_of_the_group() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    // It is moved into the group first.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    match *role.split(' ').collect::<Vec<_>>() {
        ["serve", connections] => serve(connections.parse().unwrap()),
        ["ask", connections, port] => {
            for number in 0..connections.parse().unwrap() {
                ask(port, number);
            }
        }
        _ => panic!("{role}"),
    }
}

/// Answers each connection with what it asked, turned round.
fn serve(connections: u64) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    println!("\nport {}", listener.local_addr().unwrap().port());
    for _ in 0..connections {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut question = [0; 8];
        stream.read_exact(&mut question).unwrap();
        question.reverse();
        stream.write_all(&question[..3]).unwrap();
        stream.write_all(&question[3..]).unwrap();
    }
}

/// Asks on a connection of its own, and reads to the end. Every other one ends its side before.
fn ask(port: &str, number: u64) {
    let server = format!("203.0.113.{}:{port}", 1 + number % SERVERS);
    let mut stream = TcpStream::connect(server.parse::<SocketAddr>().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&number.to_be_bytes()).unwrap();
    if number.is_multiple_of(2) {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(all_of(&mut stream), number.to_le_bytes(), "{number}");
}

/// A process of the group in a namespace.
fn process(place: &Place, space: &Space, role: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "short::process_of_the_group", "--nocapture"]);
    command.env(ROLE, role);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = space.run(|| command.spawn()).unwrap().unwrap();
    place.group.join(child.id()).unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "go").unwrap();
    child
}

fn port(output: &mut BufReader<ChildStdout>) -> String {
    let mut lines = output.lines().map(Result::unwrap);
    let line = lines.find_map(|line| Some(line.strip_prefix("port ")?.to_owned()));
    line.unwrap()
}

/// So many connections, one after the other, from the client's namespace; `meanwhile` is done again and again.
fn converse(place: &Place, connections: u64, mut meanwhile: impl FnMut()) {
    let mut server = process(place, &place.lab.server, &format!("serve {connections}"));
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let role = format!("ask {connections} {}", port(&mut output));
    let mut client = process(place, &place.lab.client, &role);
    while client.try_wait().unwrap().is_none() {
        meanwhile();
    }
    let mut said = String::new();
    let mut asked = client.stdout.take().unwrap();
    asked.read_to_string(&mut said).unwrap();
    assert!(client.wait().unwrap().success(), "{said}");
    output.read_to_string(&mut said).unwrap();
    assert!(server.wait().unwrap().success(), "{said}");
}

#[test]
fn forty_thousand_take_the_shortcut() {
    inside(|place| {
        place.apply(SHORTCUT);
        let connections = repeated(40_000);
        converse(place, connections, || {
            std::thread::sleep(std::time::Duration::from_millis(10));
        });
        assert_eq!(place.escaped(), 0);
        assert_eq!(place.counted("near"), (3 * connections, 16 * connections));
    });
}

#[test]
fn forty_thousand_outlive_the_policies_that_come_meanwhile() {
    inside(|place| {
        let open = "default send allow GROUP far: drop send tcp from group pods to 10.0.0.0/8";
        let mut policies = 0;
        converse(place, repeated(40_000), || {
            place.apply([SHORTCUT, open][policies % 2]);
            policies += 1;
        });
        println!("{policies} policies");
        assert!(policies > 2);
    });
}
