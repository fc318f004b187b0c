//! Rule sets of nft, imported: what the policy decides against what nft's own meaning says of the same packets.
//!
//! nft is its meaning, written down in `meaning` over the JSON that `drawn` makes and the command reads. A rule that the command says it
//! left out is left out there, too, so what it reports is exactly what is missing. Not here: real packets.

mod drawn;
mod meaning;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use sockc_compiler::event::{Parsed, Verdict};
use sockc_compiler::policy::Policy;
use sockc_testing::{Folder, Rng};

use crate::iptables::{decided_by, is_packet, packets, resolved};
use crate::seeds;
use meaning::Nft;

/// Packets for each rule set.
const PACKETS: usize = 1000;

/// What became of a rule set, with the places of the rules that are not in it.
fn imported(text: &str, folder: &Folder) -> (String, Policy, BTreeSet<String>) {
    let file = folder.file("rules.json", text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockc"));
    let ran = command
        .args(["import", "nft", &file, "--json"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{text}\n{ran:?}");
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let policy_text = said["text"].as_str().unwrap().to_owned();
    let policy = resolved(&policy_text);
    let mut left_out = BTreeSet::new();
    for entry in said["report"].as_array().unwrap() {
        let turns_back = entry["said"].as_str().unwrap().contains("goes back out of");
        if entry["kind"] == "left-out" && !turns_back {
            left_out.insert(entry["place"].as_str().unwrap().to_owned());
        }
        if let Some(packet) = entry["packet"].as_str() {
            assert!(is_packet(packet, &policy), "{packet}\n{text}");
        }
    }
    (policy_text, policy, left_out)
}

#[test]
fn an_imported_policy_decides_as_nft_does() {
    let folder = Folder::new("import-nft");
    let (mut allowed, mut taken, mut lines, mut rules, mut missing) = (0, 0, 0, 0, 0);
    for seed in seeds() {
        let set = drawn::random(&mut Rng::new(seed));
        let text = set.to_string();
        let (policy_text, policy, left_out) = imported(&text, &folder);
        let nft = Nft::new(&set, &left_out);
        rules += nft.rules();
        missing += left_out.len();
        let mut rng = Rng::new(seed ^ 0x5eed);
        for _ in 0..PACKETS {
            let packet = packets::packet(&mut rng);
            let wanted = nft.answer(&packet);
            let given = decided_by(&policy, &packet, Parsed::Ip(packet.header.clone()));
            assert_eq!(
                given, wanted,
                "seed {seed}: {packet:?}\n{text}\nleft out: {left_out:?}\n{policy_text}"
            );
            match wanted.verdict {
                Verdict::Allow => allowed += 1,
                _ => taken += 1,
            }
            lines += wanted.lines;
        }
    }
    println!("allowed {allowed}, taken {taken}, lines {lines}, rules {rules}, left out {missing}");
    assert!(allowed > 1000 && taken > 1000 && lines > 500);
    assert!(missing * 4 < rules, "{missing} of {rules}");
}
