//! Lookups: tries against the kernel's on random prefixes, LRU hashes, ring buffers.

use aya::maps::lpm_trie::{Key, LpmTrie};
use sockc_compiler::artifact::{MapKind, MapSpec, Relocation, Section};
use sockc_compiler::bpf::asm::*;
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::bpf::opcode::Register::*;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Width};
use sockc_compiler::interpret::{Maps, Quiet};
use sockc_testing::Rng;

use crate::engine::{Subject, subject};

/// What the program gives where the trie covers nothing.
const NOTHING: i32 = -1;

/// Looks the packet's bytes after the Ethernet header up, with this prefix length, and gives the value.
fn trie(prefix: i32) -> Subject {
    let [map, second] = load_map(R1);
    let insns = vec![
        load(Width::W, R2, R1, 0),
        load(Width::W, R3, R1, 4),
        mov64_reg(R4, R2),
        alu64_imm(AluOp::Add, R4, 18),
        jump_reg(JumpOp::Gt, R4, R3, 9),
        load(Width::W, R2, R2, 14),
        store_reg(Width::W, R10, -4, R2),
        store_imm(Width::W, R10, -8, prefix),
        map,
        second,
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -8),
        call(Helper::MapLookupElem),
        jump_imm(JumpOp::Ne, R0, 0, 2),
        mov64_imm(R0, NOTHING),
        exit(),
        load(Width::W, R0, R0, 0),
        exit(),
    ];
    let mut subject = subject(Section::Xdp, insns);
    let map = subject.specs.push(MapSpec {
        name: "live".to_owned(),
        kind: MapKind::LpmTrie,
        key_size: 8,
        value_size: 4,
        max_entries: 1000,
        flags: 1,
        data: None,
    });
    subject.program.relocations.push(Relocation {
        insn: 8,
        map,
        value_offset: None,
    });
    subject
}

fn frame(address: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0; 64];
    frame[14..18].copy_from_slice(&address);
    frame
}

/// Addresses that share many bits, so that prefixes cover each other.
fn address(rng: &mut Rng) -> [u8; 4] {
    [0; 4].map(|_: u8| [0, 0x80, 0xff, 10][rng.below(4)])
}

#[test]
fn a_trie_finds_the_longest_prefix() {
    for prefix in [32, 20, 0] {
        let subject = trie(prefix);
        let mut maps = Maps::new(&subject.specs);
        let map = maps.named("live").unwrap();
        let mut loaded = subject.load();
        let mut rng = Rng::new(7);
        for value in 0..200u32 {
            let length = u32::try_from(rng.below(33)).unwrap();
            let address = address(&mut rng);
            let key = [length.to_le_bytes(), address].concat();
            maps.update(map, &key, &value.to_le_bytes(), 0).unwrap();
            if let Some(loaded) = &mut loaded {
                let map = loaded.ebpf.map_mut("live").unwrap();
                let mut trie: LpmTrie<_, [u8; 4], u32> = map.try_into().unwrap();
                trie.insert(&Key::new(length, address), value, 0).unwrap();
            }
            if value % 7 == 3 {
                maps.delete(map, &key).unwrap();
                if let Some(loaded) = &mut loaded {
                    let map = loaded.ebpf.map_mut("live").unwrap();
                    let mut trie: LpmTrie<_, [u8; 4], u32> = map.try_into().unwrap();
                    trie.remove(&Key::new(length, address)).unwrap();
                }
            }
        }
        let mut found = 0;
        for _ in 0..500 {
            let frame = frame(address(&mut rng));
            let code = subject.interpret(&mut maps, &mut Quiet, &frame).code();
            found += u32::from(code != NOTHING);
            if let Some(loaded) = &mut loaded {
                assert_eq!(loaded.run(&frame).code, code, "{prefix} {frame:?}");
            }
        }
        assert_eq!(found > 100, prefix > 0, "{found} were covered");
    }
}

/// The length of a record, on the stack with its number.
const LENGTH: i32 = 400;

#[test]
fn a_ring_buffer_takes_records_until_it_is_full() {
    let [map, second] = load_map(R1);
    let mut insns: Vec<Insn> = (1..=LENGTH / 8)
        .map(|word| store_imm(Width::DW, R10, i16::try_from(-8 * word).unwrap(), word))
        .collect();
    let at = u32::try_from(insns.len()).unwrap();
    insns.extend([
        map,
        second,
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -LENGTH),
        mov64_imm(R3, LENGTH),
        mov64_imm(R4, 0),
        call(Helper::RingbufOutput),
        exit(),
    ]);
    let mut subject = subject(Section::Xdp, insns);
    let map = subject.specs.push(MapSpec {
        name: "events".to_owned(),
        kind: MapKind::RingBuf,
        key_size: 0,
        value_size: 0,
        max_entries: 4096,
        flags: 0,
        data: None,
    });
    subject.program.relocations.push(Relocation {
        insn: at,
        map,
        value_offset: None,
    });
    let mut maps = Maps::new(&subject.specs);
    let mut loaded = subject.load();
    for round in 0..12 {
        let code = subject.interpret(&mut maps, &mut Quiet, &[0; 64]).code();
        // A record takes 8 bytes more, and ten of them fill the page.
        assert_eq!(code, if round < 10 { 0 } else { -11 });
        if let Some(loaded) = &mut loaded {
            assert_eq!(loaded.run(&[0; 64]).code, code);
        }
    }
    let record: Vec<u8> = (1..=50u64).rev().flat_map(u64::to_le_bytes).collect();
    assert_eq!(maps.take_records(map), vec![record; 10]);
    assert_eq!(maps.records(map).len(), 0);
}
