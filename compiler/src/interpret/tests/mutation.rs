//! Changed programs: whatever their bytes, the interpreter ends with an outcome or a fault.

use super::*;
use crate::bpf::helper::Helper;
use crate::testing::Rng;
use crate::tests::asm::fetch_add64;

/// Programs that are tried, each changed this often.
const ROUNDS: usize = 4_000;

/// Calls a helper with the context, a number, the address of a number on the stack and two numbers.
fn calling(helper: Helper) -> Vec<Insn> {
    vec![
        mov64_reg(R6, R1),
        store_imm(Width::DW, R10, -16, 4),
        store_imm(Width::DW, R10, -8, 0x1234),
        mov64_imm(R2, 8),
        mov64_reg(R3, R10),
        alu64_imm(AluOp::Add, R3, -8),
        mov64_imm(R4, 4),
        mov64_imm(R5, 0),
        call(helper),
        load(Width::W, R2, R6, 4),
        store_reg(Width::W, R6, 8, R0),
        exit(),
    ]
}

/// Looks the map up, exchanges in its value, outputs and updates.
fn using_map() -> Vec<Insn> {
    let [map, second] = load_map(R1);
    vec![
        store_imm(Width::DW, R10, -8, 8),
        map,
        second,
        mov64_reg(R2, R10),
        alu64_imm(AluOp::Add, R2, -8),
        mov64_reg(R3, R2),
        mov64_imm(R4, 0),
        call(Helper::MapLookupElem),
        jump_imm(JumpOp::Eq, R0, 0, 4),
        mov64_reg(R1, R0),
        mov64_imm(R2, 1),
        compare_exchange64(R1, 0, R2),
        fetch_add64(R1, 0, R2),
        mov64_imm(R0, 1),
        exit(),
    ]
}

fn change(insns: &mut [Insn], rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let at = rng.below(insns.len());
        let mut bytes = insns[at].to_bytes();
        bytes[rng.below(8)] = match rng.below(4) {
            0 => 0xff,
            1 => 0x80,
            _ => rng.byte(),
        };
        insns[at] = Insn::from_bytes(bytes);
    }
}

/// Counts what ended without a fault.
fn try_changed(section: Section, insns: &[Insn], kind: MapKind, rng: &mut Rng) -> usize {
    let mut sound = 0;
    for _ in 0..ROUNDS {
        let mut insns = insns.to_vec();
        change(&mut insns, rng);
        let (mut maps, map) = one_map(spec(kind, 8, 8, 64));
        let _ = maps.update(map, &[8, 0, 0, 0, 0, 0, 0, 0], &[1; 8], 0);
        let mut program = program(section, insns, &[]);
        program.relocations = vec![Relocation {
            insn: 1,
            map,
            value_offset: None,
        }];
        // Jumps back end at the limit of instructions, which takes long: such programs are left out.
        if goes_back(&program) {
            continue;
        }
        let input = match section {
            Section::Xdp => Input::Xdp(Xdp::new(vec![7; 60])),
            _ => Input::Skb(Skb::new(vec![7; 60]).with_linear(30)),
        };
        sound += usize::from(run(&program, &mut maps, input, &mut Quiet).is_ok());
    }
    sound
}

fn goes_back(program: &Program) -> bool {
    let jumps = |insn: &Insn| matches!(insn.opcode & 7, 5 | 6);
    let back = |insn: &Insn| insn.offset < 0 || (insn.opcode == 0x06 && insn.imm < 0);
    program.insns.iter().any(|insn| jumps(insn) && back(insn))
}

#[test]
fn no_changed_program_panics() {
    let mut rng = Rng::new(1);
    let mut sound = 0;
    for (helper, ..) in Helper::TABLE {
        for section in [Section::Xdp, Section::Classifier] {
            sound += try_changed(section, &calling(helper), MapKind::Array, &mut rng);
        }
    }
    for kind in MapKind::ALL {
        sound += try_changed(Section::Xdp, &using_map(), kind, &mut rng);
    }
    assert!(sound > 1_000, "only {sound} programs were sound");
}
