//! Rows of items, eight numbers at a time, on processors with AVX2.
//!
//! A row is read only if all of it is written as programs write it: `None` means "look closer", as
//! in all fast paths.

#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Reads the first line of `text` into `slots`; returns its length in bytes.
///
/// Items count from `base`; less `base`, all must be below `n_items`.
#[inline]
pub(crate) fn items_row(
    text: &[u8],
    separator: u8,
    base: u32,
    n_items: u32,
    slots: &mut [u32],
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if crate::isa::has_avx2() {
        #[expect(unsafe_code)]
        // SAFETY: the line above has checked that the processor has the feature.
        return unsafe { avx2::items_row(text, separator, base, n_items, slots) };
    }
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::teacher::numbers::integer;

    fn rows(columns: usize) -> Vec<String> {
        let numbers =
            |row: usize| (0..columns).map(move |i| (i * 7919 + row * 104_729) % 9_999_999);
        let plain = |row| numbers(row).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let savetxt = |row| {
            let spelled = numbers(row).map(|n| {
                let digits = n.to_string();
                let (lead, rest) = digits.split_at(1);
                format!("{lead}.{rest:0<18}e+{:02}", rest.len())
            });
            spelled.collect::<Vec<_>>().join(" ")
        };
        (0..3).flat_map(|row| [plain(row), savetxt(row)]).collect()
    }

    fn one_by_one(text: &[u8], base: u32) -> Vec<u32> {
        let line = text.split(|&byte| byte == b'\n').next().unwrap();
        let number = |token| u32::try_from(integer::exact(token).unwrap()).unwrap();
        line.split(|&byte| byte == b' ').map(|token| number(token) - base).collect()
    }

    #[test]
    fn rows_of_any_length_are_read_as_one_by_one() {
        if !crate::isa::has_avx2() {
            return;
        }
        for columns in (8..40).chain([100, 257]) {
            for row in rows(columns) {
                let text = format!("{row}\n{}", "7 ".repeat(64));
                let mut slots = vec![0; columns];
                let end = items_row(text.as_bytes(), b' ', 0, 10_000_000, &mut slots);
                assert_eq!(end, Some(row.len() + 1), "{row}");
                assert_eq!(slots, one_by_one(text.as_bytes(), 0), "{row}");
                for (base, n_items) in [(1, 10_000_000), (0, *slots.iter().max().unwrap())] {
                    let is_inside = slots.iter().all(|&item| item >= base && item - base < n_items);
                    let mut shifted = vec![0; columns];
                    let end = items_row(text.as_bytes(), b' ', base, n_items, &mut shifted);
                    assert_eq!(end.is_some(), is_inside, "{base} {n_items} {row}");
                }
            }
        }
    }

    /// Any byte in any place: either the row means the same, or a closer look is asked for.
    #[test]
    fn every_byte_in_every_place_of_a_row() {
        for row in rows(9) {
            let whole = format!("{row}\n{}", "7 ".repeat(64)).into_bytes();
            for place in 0..=row.len() {
                for byte in 0..=u8::MAX {
                    let mut text = whole.clone();
                    text[place] = byte;
                    let mut slots = vec![0; 9];
                    let Some(end) = items_row(&text, b' ', 0, 10_000_000, &mut slots) else {
                        assert!(text != whole || !crate::isa::has_avx2());
                        continue;
                    };
                    assert_eq!(text[end - 1], b'\n');
                    assert_eq!(
                        slots,
                        one_by_one(&text, 0),
                        "{:?}",
                        text.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}
