//! Programs and maps.

use super::*;
use crate::bpf::constant::BPF_F_RDONLY_PROG;
use crate::bpf::helper::Helper;

fn with_map(maps: &mut Maps, map: MapId, insns: Vec<Insn>, at: u32) -> Result<Outcome, FaultKind> {
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
