//! Programs and maps.

use super::*;
use crate::bpf::constant::BPF_F_RDONLY_PROG;
use crate::bpf::helper::Helper;
use crate::tests::asm::{exchange64, fetch_add64};

fn with_map(
    maps: &mut Maps,
    map: MapId,
    insns: Vec<Insn>,
    at: u32,
) -> Result<Execution, FaultKind> {
    let program = program(Section::Xdp, insns, &[(at, map)]);
    let input = Input::Xdp(Xdp::default());
    run(&program, maps, input, &mut Quiet).map_err(|fault| fault.kind)
}

/// Adds 5 to the second word of the value at `key`; 1 where there is none.
fn add_five(key: i32, null_test: bool) -> Vec<Insn> {
    let [first, second] = load_map(R1);
    let mut insns = vec![
        store_imm(Width::W, R10, -4, key),
        first,
        second,
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -4),
        call(Helper::MapLookupElem),
    ];
    if null_test {
        insns.extend([jump_imm(JumpOp::Ne, R0, 0, 2), mov64_imm(R0, 1), exit()]);
    }
    insns.extend([
        mov64_imm(R1, 5),
        atomic_add64(R0, 8, R1),
        mov64_imm(R0, 0),
        exit(),
    ]);
    insns
}

#[test]
fn counters_count() {
    for kind in [MapKind::Array, MapKind::PerCpuArray] {
        let (mut maps, map) = one_map(spec(kind, 4, 16, 3));
        for _ in 0..2 {
            assert_eq!(
                with_map(&mut maps, map, add_five(2, true), 1).unwrap().r0,
                0
            );
        }
        let mut expected = [0; 16];
        expected[8] = 10;
        assert_eq!(maps.get(map, &[2, 0, 0, 0]), Some(&expected[..]));
        assert_eq!(
            with_map(&mut maps, map, add_five(3, true), 1).unwrap().r0,
            1
        );
        let missed = with_map(&mut maps, map, add_five(3, false), 1);
        assert_eq!(missed.unwrap_err(), FaultKind::NullPointer);
    }
}

#[test]
fn values_end_where_they_end() {
    let (mut maps, map) = one_map(spec(MapKind::Array, 4, 8, 3));
    let outcome = with_map(&mut maps, map, add_five(0, true), 1);
    assert_eq!(outcome.unwrap_err(), FaultKind::OutOfBounds);
}

#[test]
fn direct_values_are_for_arrays_of_one() {
    let [first, second] = load_map_value(R1, 4);
    let insns = vec![first, second, load(Width::W, R0, R1, 0), exit()];
    let (mut maps, map) = one_map(spec(MapKind::Array, 4, 8, 1));
    maps.update(map, &[0; 4], &[0, 0, 0, 0, 9, 0, 0, 0], 0)
        .unwrap();
    let outcome = with_map(&mut maps, map, insns.clone(), 0).unwrap();
    assert_eq!(outcome.r0, 9);
    let (mut maps, map) = one_map(spec(MapKind::Array, 4, 8, 2));
    let outcome = with_map(&mut maps, map, insns, 0);
    assert_eq!(outcome.unwrap_err(), FaultKind::UnknownMap);
}

#[test]
fn frozen_maps_are_not_written() {
    let (mut maps, map) = one_map(MapSpec {
        flags: BPF_F_RDONLY_PROG,
        ..spec(MapKind::Array, 4, 16, 1)
    });
    let outcome = with_map(&mut maps, map, add_five(0, true), 1);
    assert_eq!(outcome.unwrap_err(), FaultKind::ReadOnly);
}

#[test]
fn slots_of_interfaces_are_empty_or_read_only() {
    let (mut maps, map) = one_map(spec(MapKind::DevMap, 4, 8, 2));
    assert_eq!(maps.get(map, &[1, 0, 0, 0]), None);
    assert_eq!(
        maps.update(map, &[2, 0, 0, 0], &[7; 8], 0),
        Err(Errno::E2BIG)
    );
    assert_eq!(maps.update(map, &[1, 0, 0, 0], &[7; 8], 0), Ok(()));
    assert_eq!(maps.get(map, &[1, 0, 0, 0]), Some(&[7; 8][..]));
    assert_eq!(maps.update(map, &[0; 4], &[7; 8], 0), Ok(()));
    let mut write = add_five(0, true);
    let at = write.len() - 3;
    write[at] = atomic_add64(R0, 0, R1);
    let outcome = with_map(&mut maps, map, write, 1);
    assert_eq!(outcome.unwrap_err(), FaultKind::ReadOnly);
}

#[test]
fn hashes_take_keys_in_and_out() {
    let (mut maps, map) = one_map(spec(MapKind::Hash, 4, 4, 2));
    let (one, two, three) = ([1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]);
    assert_eq!(maps.update(map, &one, &[1; 4], 2), Err(Errno::ENOENT));
    assert_eq!(maps.update(map, &one, &[1; 4], 0), Ok(()));
    assert_eq!(maps.update(map, &one, &[1; 4], 1), Err(Errno::EEXIST));
    assert_eq!(maps.update(map, &two, &[2; 4], 1), Ok(()));
    assert_eq!(maps.update(map, &three, &[3; 4], 0), Err(Errno::E2BIG));
    assert_eq!(maps.update(map, &three, &[3; 3], 0), Err(Errno::EINVAL));
    assert_eq!(maps.delete(map, &two), Ok(()));
    assert_eq!(maps.delete(map, &two), Err(Errno::ENOENT));
    assert_eq!(maps.get(map, &two), None);
    assert_eq!(maps.update(map, &three, &[3; 4], 0), Ok(()));
    assert_eq!(maps.get(map, &one), Some(&[1; 4][..]));
    assert_eq!(maps.named("m"), Some(map));
}

#[test]
fn a_map_needs_its_relocation() {
    let (mut maps, map) = one_map(spec(MapKind::Array, 4, 16, 3));
    let outcome = with_map(&mut maps, map, add_five(0, true), 2);
    assert_eq!(outcome.unwrap_err(), FaultKind::UnknownMap);
}

fn prefix(length: u32, address: [u8; 4]) -> Vec<u8> {
    [length.to_le_bytes(), address].concat()
}

#[test]
fn a_trie_gives_the_longest_prefix() {
    let (mut maps, map) = one_map(spec(MapKind::LpmTrie, 8, 1, 3));
    let mut put = |length, address, value| maps.update(map, &prefix(length, address), &[value], 0);
    assert_eq!(put(8, [10, 0, 0, 0], 1), Ok(()));
    // Bits beyond the prefix are not looked at.
    assert_eq!(put(8, [10, 9, 9, 9], 2), Ok(()));
    assert_eq!(put(20, [10, 1, 0x1f, 0], 3), Ok(()));
    assert_eq!(put(33, [10, 0, 0, 0], 4), Err(Errno::EINVAL));
    assert_eq!(put(32, [10, 1, 0x10, 7], 5), Ok(()));
    assert_eq!(put(0, [0; 4], 6), Err(Errno::ENOSPC));
    let get = |length, address| {
        maps.get(map, &prefix(length, address))
            .map(|value| value[0])
    };
    assert_eq!(get(32, [10, 1, 0x10, 7]), Some(5));
    assert_eq!(get(31, [10, 1, 0x10, 7]), Some(3));
    assert_eq!(get(32, [10, 1, 0x20, 7]), Some(2));
    assert_eq!(get(7, [10, 1, 0x20, 7]), None);
    assert_eq!(get(32, [11, 0, 0, 0]), None);
    let twenty = prefix(20, [10, 1, 0x10, 0xff]);
    assert_eq!(maps.delete(map, &twenty), Ok(()));
    assert_eq!(maps.delete(map, &twenty), Err(Errno::ENOENT));
    assert_eq!(maps.get(map, &prefix(31, [10, 1, 0x10, 7])), Some(&[2][..]));
}

#[test]
fn an_lru_hash_forgets_what_was_used_longest_ago() {
    let (mut maps, map) = one_map(spec(MapKind::LruHash, 4, 16, 2));
    let [one, two, three] = [1, 2, 3].map(|key: u32| key.to_le_bytes());
    for key in [one, two] {
        maps.update(map, &key, &[0; 16], 0).unwrap();
    }
    with_map(&mut maps, map, add_five(1, true), 1).unwrap();
    maps.update(map, &three, &[0; 16], 0).unwrap();
    assert!(maps.get(map, &two).is_none());
    assert_eq!(maps.get(map, &one).unwrap()[8], 5);
    maps.update(map, &one, &[1; 16], 2).unwrap();
    maps.update(map, &two, &[0; 16], 1).unwrap();
    assert!(maps.get(map, &three).is_none());
}

/// Loads 4 bytes at `offset` after the address `start` bytes into a table.
fn table_load(start: i32, offset: i16) -> Vec<Insn> {
    let [first, second] = load_map_value(R1, start);
    vec![first, second, load(Width::W, R0, R1, offset), exit()]
}

#[test]
fn tables_are_filled_and_only_read() {
    let (mut maps, map) = one_map(MapSpec::table("t", (1..=12).collect()));
    let mut ran = |insns| with_map(&mut maps, map, insns, 0);
    assert_eq!(ran(table_load(4, 0)).unwrap().r0, 0x0807_0605);
    assert_eq!(ran(table_load(4, -4)).unwrap().r0, 0x0403_0201);
    assert_eq!(ran(table_load(4, 4)).unwrap().r0, 0x0c0b_0a09);
    assert_eq!(ran(table_load(4, 5)).unwrap_err(), FaultKind::OutOfBounds);
    assert_eq!(ran(table_load(4, -5)).unwrap_err(), FaultKind::OutOfBounds);
    assert_eq!(ran(table_load(12, 0)).unwrap_err(), FaultKind::UnknownMap);
    let [first, second] = load_map_value(R1, 0);
    let write = vec![first, second, store_imm(Width::W, R1, 0, 1), exit()];
    assert_eq!(ran(write).unwrap_err(), FaultKind::ReadOnly);
    let exchange = vec![
        first,
        second,
        mov64_imm(R0, 0),
        mov64_imm(R2, 0),
        compare_exchange64(R1, 0, R2),
        exit(),
    ];
    assert_eq!(ran(exchange).unwrap_err(), FaultKind::ReadOnly);
}

#[test]
fn a_load_is_of_the_kind_of_its_reference() {
    let (mut maps, map) = one_map(MapSpec::table("t", vec![0; 8]));
    let mut program = program(Section::Xdp, table_load(4, 0), &[(0, map)]);
    for value_offset in [None, Some(0)] {
        program.relocations[0].value_offset = value_offset;
        let input = Input::Xdp(Xdp::default());
        let fault = run(&program, &mut maps, input, &mut Quiet).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UnknownMap);
    }
}

#[test]
fn read_only_maps_are_not_changed_by_key_either() {
    let (mut maps, map) = one_map(MapSpec::table("t", vec![0; 4]));
    let [first, second] = load_map(R1);
    for helper in [Helper::MapUpdateElem, Helper::MapDeleteElem] {
        let insns = vec![
            store_imm(Width::W, R10, -4, 0),
            first,
            second,
            mov64_reg(R2, R10),
            alu64_imm(AluOp::Add, R2, -4),
            mov64_reg(R3, R2),
            mov64_imm(R4, 0),
            call(helper),
            exit(),
        ];
        let fault = with_map(&mut maps, map, insns, 1).unwrap_err();
        assert_eq!(fault, FaultKind::ReadOnly);
    }
}

#[test]
fn atomics_give_the_old_value_back() {
    let value = |insns: &[Insn], start: u64| {
        let (mut maps, map) = one_map(spec(MapKind::Array, 4, 8, 1));
        maps.update(map, &[0; 4], &start.to_le_bytes(), 0).unwrap();
        let [first, second] = load_map_value(R1, 0);
        let all = [&[first, second, mov64_imm(R0, 7), mov64_imm(R2, 9)], insns].concat();
        let r0 = with_map(&mut maps, map, all, 0).unwrap().r0;
        let bytes = maps.get(map, &[0; 4]).unwrap().try_into().unwrap();
        (r0, u64::from_le_bytes(bytes))
    };
    let through_r2 = |insn| [insn, mov64_reg(R0, R2), exit()];
    assert_eq!(value(&[compare_exchange64(R1, 0, R2), exit()], 7), (7, 9));
    assert_eq!(value(&[compare_exchange64(R1, 0, R2), exit()], 8), (8, 8));
    assert_eq!(value(&through_r2(exchange64(R1, 0, R2)), 8), (8, 9));
    assert_eq!(value(&through_r2(fetch_add64(R1, 0, R2)), 8), (8, 17));
    assert_eq!(value(&through_r2(atomic_add64(R1, 0, R2)), 8), (9, 17));
    for (number, wanted) in [(0x40, 0b1101), (0x50, 0b1000), (0xa0, 0b0101)] {
        let bitwise = Insn {
            imm: number,
            ..atomic_add64(R1, 0, R2)
        };
        assert_eq!(value(&through_r2(bitwise), 0b1100), (9, wanted));
    }
}
