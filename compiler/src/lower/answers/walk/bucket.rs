//! A bucket: the records that stand in it, then what is left.
//!
//! The layout is that of [`crate::classifier`]'s `bucket_table`. A hash is less than the number of buckets, and the verifier sees
//! that: nothing is compared with the table's end.

use crate::bpf::opcode::{AluOp, Width};
use crate::classifier::tables::record_size;
use crate::classifier::{HELD, bucket_size};
use crate::ir::{Builder, Value};

use super::maps::BucketMaps;
use super::record::times;
use super::{Walk, table};

impl Walk<'_> {
    /// Compares with what stands in the bucket of this number. Goes on with the child in its place where there may be one, and
    /// says whether there may.
    pub(super) fn bucket(&self, builder: &mut Builder, buckets: BucketMaps, number: Value) -> bool {
        times(builder, number, bucket_size(self.family));
        let record = table(builder, buckets.table);
        builder.alu(record, AluOp::Add, number);
        let mut found = Vec::new();
        for (place, may) in (0..HELD).zip(buckets.children) {
            let offset = place * record_size(self.family, false);
            let offset = builder.fit(offset, "the place of a record");
            let child = may.then(|| builder.block());
            self.compare_record(builder, record, offset, (false, child));
            found.extend(child.map(|child| (child, offset)));
        }
        builder.jump(self.next);
        let left = (!found.is_empty()).then(|| builder.block());
        for (child, offset) in found {
            builder.enter(child);
            builder.load_to(number, record, offset, Width::W);
            if let Some(left) = left {
                builder.jump(left);
            }
        }
        if let Some(left) = left {
            builder.enter(left);
        }
        left.is_some()
    }
}
