//! Each pass on a small function, as text before and after; and that what is left runs as it did.

use super::{PASSES, Pass, optimise};
use crate::artifact::{MapSpec, Section};
use crate::bpf::helper::Helper;
use crate::bpf::opcode::{AluOp, JumpOp, Width};
use crate::emit::emit;
use crate::interpret::{Input, Maps, Quiet, Xdp, run};
use crate::ir::{Arg, Builder, End, Function};
use crate::location::Location;
use crate::target::Target;
use crate::testing::Rng;

fn empty() -> Builder {
    Builder::new("f", Section::Xdp, Location::new("a.sk", 1, "rule"))
}

/// The lines of the blocks, after the pass of this name.
fn after(function: &Function, pass: &str) -> Vec<String> {
    let mut function = function.clone();
    self::pass(pass).run(&mut function);
    lines(&function)
}

fn pass(name: &str) -> &'static Pass {
    PASSES.iter().find(|one| one.name == name).unwrap()
}

fn lines(function: &Function) -> Vec<String> {
    let text = function.to_string();
    let blocks = text.lines().skip_while(|line| !line.starts_with("block"));
    let plain = blocks.map(|line| line.split("  ;").next().unwrap_or(line).trim());
    plain.map(str::to_owned).collect()
}

#[test]
fn a_reload_takes_what_was_stored_and_is_not_needed_else() {
    let mut builder = empty();
    let context = builder.argument();
    let [narrow, wide, kept] = [4, 4, 4].map(|size| builder.opaque_slot(size));
    let value = builder.load(context, 12, Width::W);
    builder.store_slot(narrow, 0, value, Width::W);
    let again = builder.load_slot(narrow, 0, Width::W);
    builder.alu(again, AluOp::Lsh, 3);
    // More than 32 bits may be set, of which the slot keeps 32.
    builder.store_slot(wide, 0, again, Width::W);
    let cut = builder.load_slot(wide, 0, Width::W);
    // What is needed later is one of two values that are the same, if it is copied.
    let value = builder.load(context, 16, Width::W);
    builder.store_slot(kept, 0, value, Width::W);
    let copy = builder.load_slot(kept, 0, Width::W);
    builder.alu(cut, AluOp::Add, copy);
    builder.alu(cut, AluOp::Add, value);
    builder.end(End::ReturnValue(cut));
    assert_eq!(
        after(&builder.finish(), "reloads"),
        [
            "block0:",
            "v0 = argument",
            "v1 = load.W v0+12",
            "store.W ss0+0, v1",
            "v2 = v1",
            "v2 = Lsh v2, 0x3",
            "store.W ss1+0, v2",
            "v3 = load.W ss1+0",
            "v4 = load.W v0+16",
            "store.W ss2+0, v4",
            "v5 = load.W ss2+0",
            "v3 = Add v3, v5",
            "v3 = Add v3, v4",
            "return v3",
        ]
    );
}

#[test]
fn what_was_stored_in_between_is_loaded() {
    let mut builder = empty();
    let context = builder.argument();
    let slot = builder.slot(8);
    let value = builder.load(context, 12, Width::W);
    builder.store_slot(slot, 0, value, Width::W);
    builder.set_slot(slot, 2, 7, Width::H);
    let again = builder.load_slot(slot, 0, Width::W);
    builder.end(End::ReturnValue(again));
    let function = builder.finish();
    assert_eq!(after(&function, "reloads"), lines(&function));
}

#[test]
fn what_has_changed_since_it_was_stored_is_loaded() {
    let mut builder = empty();
    let context = builder.argument();
    let slot = builder.slot(4);
    let value = builder.load(context, 12, Width::W);
    builder.store_slot(slot, 0, value, Width::W);
    builder.alu(value, AluOp::Add, 1);
    let again = builder.load_slot(slot, 0, Width::W);
    builder.end(End::ReturnValue(again));
    let function = builder.finish();
    assert_eq!(after(&function, "reloads"), lines(&function));
}

#[test]
fn a_sum_has_a_bit_more_than_the_slot_keeps() {
    let mut builder = empty();
    let context = builder.argument();
    let slot = builder.slot(2);
    let value = builder.load(context, 12, Width::H);
    builder.alu(value, AluOp::Add, 0xffff);
    builder.store_slot(slot, 0, value, Width::H);
    let again = builder.load_slot(slot, 0, Width::H);
    builder.end(End::ReturnValue(again));
    let function = builder.finish();
    assert_eq!(after(&function, "reloads"), lines(&function));
}

#[test]
fn a_value_that_nobody_reads_is_not_calculated() {
    let mut builder = empty();
    let context = builder.argument();
    let (yes, no) = (builder.block(), builder.block());
    let needed = builder.load(context, 12, Width::W);
    let idle = builder.load(context, 16, Width::W);
    builder.alu(idle, AluOp::Add, 1);
    builder.end(End::Branch {
        op: JumpOp::Eq,
        narrow: true,
        lhs: needed,
        rhs: 0.into(),
        then: yes,
        other: no,
    });
    builder.enter(yes);
    builder.alu(needed, AluOp::Add, 1);
    builder.end(End::Return(1));
    builder.enter(no);
    builder.end(End::ReturnValue(needed));
    assert_eq!(
        after(&builder.finish(), "dead values"),
        [
            "block0:",
            "v0 = argument",
            "v1 = load.W v0+12",
            "if v1 Eq.32 0x0 then block1 else block2",
            "block2:",
            "return v1",
            "block1:",
            "return 1",
        ]
    );
}

/// A frame may be larger than the stack until its unused slots are gone: what stands below that is followed too.
#[test]
fn what_is_stored_beyond_the_stack_is_there_when_it_is_read() {
    let mut builder = empty();
    let [_, one, other] = [520, 8, 8].map(|size| builder.slot(size));
    for slot in [one, other] {
        builder.set_slot(slot, 0, 5, Width::DW);
    }
    let value = builder.load_slot(one, 0, Width::DW);
    builder.set_slot(other, 0, 7, Width::DW);
    let more = builder.load_slot(other, 0, Width::DW);
    builder.alu(value, AluOp::Add, more);
    builder.end(End::ReturnValue(value));
    let mut function = builder.finish();
    optimise(&mut function);
    let mut maps = Maps::new(&cranelift_entity::PrimaryMap::<_, MapSpec>::new());
    let program = emit(&function, &Target::baseline()).unwrap();
    let ran = run(&program, &mut maps, Input::Xdp(Xdp::default()), &mut Quiet);
    assert_eq!(ran.unwrap().r0, 12);
}

#[test]
fn a_store_that_no_way_reads_is_left_out() {
    let mut builder = empty();
    let context = builder.argument();
    let read = builder.opaque_slot(4);
    let room = builder.slot(16);
    let part = builder.part(room, 8, 4);
    let (yes, no) = (builder.block(), builder.block());
    let value = builder.load(context, 12, Width::W);
    builder.set_slot(read, 0, 1, Width::W);
    builder.set_slot(read, 0, 2, Width::W);
    builder.store_slot(room, 0, value, Width::DW);
    builder.set_slot(room, 8, 3, Width::DW);
    builder.end(End::Branch {
        op: JumpOp::Eq,
        narrow: true,
        lhs: value,
        rhs: 0.into(),
        then: yes,
        other: no,
    });
    builder.enter(yes);
    let value = builder.load_slot(read, 0, Width::W);
    builder.end(End::ReturnValue(value));
    builder.enter(no);
    let value = builder.load_slot(part, 0, Width::H);
    builder.end(End::ReturnValue(value));
    assert_eq!(
        after(&builder.finish(), "dead stores"),
        [
            "block0:",
            "v0 = argument",
            "v1 = load.W v0+12",
            "store.W ss0+0, 0x2",
            "store.DW ss1+8, 0x3",
            "if v1 Eq.32 0x0 then block1 else block2",
            "block2:",
            "v3 = load.H ss2+0",
            "return v3",
            "block1:",
            "v2 = load.W ss0+0",
            "return v2",
        ]
    );
}

/// An opaque slot stays off its word, and what shares bytes with what is used stays with it.
#[test]
fn what_no_way_touches_leaves_the_frame() {
    let mut builder = empty();
    let context = builder.argument();
    let [_first, kept] = [4, 4].map(|size| builder.opaque_slot(size));
    let room = builder.slot(24);
    let part = builder.part(room, 8, 4);
    let _idle = builder.slot(40);
    let key = builder.slot(4);
    let value = builder.load(context, 12, Width::W);
    builder.store_slot(kept, 0, value, Width::W);
    builder.store_slot(part, 0, value, Width::W);
    builder.store_slot(key, 0, value, Width::W);
    let args = [Arg::Value(context), Arg::SlotAddress(key)];
    builder.call(Helper::MapLookupElem, &args);
    let one = builder.load_slot(kept, 0, Width::W);
    let other = builder.load_slot(part, 0, Width::W);
    builder.alu(one, AluOp::Add, other);
    builder.end(End::ReturnValue(one));
    let function = builder.finish();
    assert_eq!(
        slots(&function),
        [
            "ss0: 4 bytes at -4",
            "ss1: 4 bytes at -12",
            "ss2: 24 bytes at -40",
            "ss3: 4 bytes at -32",
            "ss4: 40 bytes at -80",
            "ss5: 4 bytes at -88",
        ]
    );
    let mut after = function.clone();
    pass("dead slots").run(&mut after);
    assert_eq!(
        slots(&after),
        [
            "ss0: 4 bytes at -4",
            "ss1: 24 bytes at -32",
            "ss2: 4 bytes at -24",
            "ss3: 4 bytes at -40",
        ]
    );
    assert_eq!(
        lines(&after),
        [
            "block0:",
            "v0 = argument",
            "v1 = load.W v0+12",
            "store.W ss0+0, v1",
            "store.W ss2+0, v1",
            "store.W ss3+0, v1",
            "call bpf_map_lookup_elem(v0, &ss3)",
            "v2 = load.W ss0+0",
            "v3 = load.W ss2+0",
            "v2 = Add v2, v3",
            "return v2",
        ]
    );
}

/// Where the slots stand.
#[test]
fn a_slot_that_cannot_be_moved_is_a_bug() {
    let bug = |size| {
        let mut builder = empty();
        let slot = builder.slot(size);
        builder.set_slot(slot, 0, 1, Width::DW);
        builder.end(End::Return(0));
        let mut function = builder.finish();
        pass("dead slots").run(&mut function);
        function.bug
    };
    assert_eq!(bug(1024), None);
    let what = "ss0 cannot be moved on the stack";
    assert_eq!(bug(1025).as_deref(), Some(what));
}

fn slots(function: &Function) -> Vec<String> {
    let text = function.to_string();
    let lines = text.lines().skip(1);
    let slots = lines.take_while(|line| !line.starts_with("block"));
    slots.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn jumps_that_lead_to_jumps_go_to_their_end() {
    let mut builder = empty();
    let context = builder.argument();
    let [first, second, end] = [(); 3].map(|()| builder.block());
    let value = builder.load(context, 12, Width::W);
    builder.end(End::Branch {
        op: JumpOp::Eq,
        narrow: true,
        lhs: value,
        rhs: 0.into(),
        then: first,
        other: end,
    });
    builder.enter(first);
    builder.jump(second);
    builder.enter(second);
    builder.jump(end);
    builder.enter(end);
    builder.end(End::Return(2));
    assert_eq!(
        after(&builder.finish(), "threads"),
        [
            "block0:",
            "v0 = argument",
            "v1 = load.W v0+12",
            "jump block3",
            "block3:",
            "return 2",
        ]
    );
}

/// Random straight and branching code over three slots gives the same result before and after all passes.
#[test]
fn what_is_left_runs_as_it_did() {
    let mut rng = Rng::new(1);
    let mut shorter = 0;
    for _ in 0..300 {
        let before = random_function(&mut rng);
        let mut function = before.clone();
        optimise(&mut function);
        let known = rng.word();
        let [old, new] = [&before, &function].map(|function| {
            let program = emit(function, &Target::baseline()).unwrap();
            let length = program.insns.len();
            let mut maps = Maps::new(&cranelift_entity::PrimaryMap::<_, MapSpec>::new());
            let input = Input::Xdp(Xdp {
                ingress_ifindex: known,
                ..Xdp::new(vec![1; 60])
            });
            let ran = run(&program, &mut maps, input, &mut Quiet).unwrap();
            (ran.code(), length)
        });
        assert_eq!(old.0, new.0, "{before}\n{function}");
        shorter += usize::from(new.1 < old.1);
    }
    assert!(shorter > 200, "{shorter}");
}

fn random_function(rng: &mut Rng) -> Function {
    let mut builder = empty();
    let context = builder.argument();
    let slots = [8, 8, 8].map(|size| builder.slot(size));
    for slot in slots {
        builder.set_slot(slot, 0, 0x0102_0304, Width::DW);
    }
    let end = builder.block();
    let widths = [Width::B, Width::H, Width::W, Width::DW];
    for _ in 0..1 + rng.below(12) {
        let slot = slots[rng.below(3)];
        let width = widths[rng.below(4)];
        let byte = (rng.below(8 / width.bytes()) * width.bytes()) as u8;
        match rng.below(5) {
            0 => {
                let value = builder.load_slot(slot, byte, width);
                builder.alu(value, AluOp::Add, rng.below(100) as i32);
                builder.store_slot(slots[rng.below(3)], 0, value, Width::W);
            }
            1 => builder.set_slot(slot, byte, rng.below(1 << 20) as i32, width),
            2 => {
                // The queue and the interface: numbers that are known to nobody.
                let value = builder.load(context, 12, Width::W);
                builder.store_slot(slot, byte, value, width);
                let again = builder.load_slot(slot, byte, width);
                builder.alu(again, AluOp::Lsh, 1);
                builder.store_slot(slots[rng.below(3)], 0, again, Width::DW);
            }
            3 => {
                let value = builder.load_slot(slot, byte, width);
                builder.leave_if(value, JumpOp::Gt, rng.below(500) as i32, end);
            }
            _ => {
                let [then, next] = [(); 2].map(|()| builder.block());
                let value = builder.load_slot(slot, byte, width);
                builder.end(End::Branch {
                    op: JumpOp::Lt,
                    narrow: true,
                    lhs: value,
                    rhs: (rng.below(500) as i32).into(),
                    then,
                    other: next,
                });
                builder.enter(then);
                builder.set_slot(slot, byte, 9, width);
                builder.jump(next);
                builder.enter(next);
            }
        }
    }
    builder.jump(end);
    builder.enter(end);
    let result = builder.load_slot(slots[0], 0, Width::W);
    for slot in &slots[..2] {
        let value = builder.load_slot(*slot, 2, Width::H);
        builder.alu(result, AluOp::Add, value);
    }
    builder.end(End::ReturnValue(result));
    builder.finish()
}
