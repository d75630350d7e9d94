//! "Did you mean …?": the candidate nearest to a name that is not known.

/// The candidate that a typing mistake most likely meant: at most a third of the name's letters away, counting
/// letters added, left out, changed or swapped with their neighbour. Case counts little.
///
/// ```
/// use beetrace_lang::suggest::nearest;
///
/// assert_eq!(nearest("pritnf", ["print", "printf", "time"]), Some("printf"));
/// assert_eq!(nearest("zebra", ["print", "printf", "time"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().collect();
    let limit = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| *c != name && c.chars().count().abs_diff(wanted.len()) <= limit)
        .filter_map(|c| {
            let other: Vec<char> = c.chars().collect();
            let far = |a: &[char], b: &[char]| distance(a, b);
            let exact = far(&wanted, &other);
            let folded = far(&fold(&wanted), &fold(&other));
            (folded <= limit && folded < wanted.len()).then_some(((folded, exact, c), c))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, c)| c)
}

fn fold(name: &[char]) -> Vec<char> {
    name.iter().map(char::to_ascii_lowercase).collect()
}

/// Edit distance with swaps of neighbours counted once (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, &y) in b.iter().enumerate() {
            let changed = last[j] + usize::from(x != y);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far(a: &str, b: &str) -> usize {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        distance(&chars(a), &chars(b))
    }

    #[test]
    fn counts_edits() {
        assert_eq!(far("", "abc"), 3);
        assert_eq!(far("kprobe", "kprobe"), 0);
        assert_eq!(far("kprobe", "kpobe"), 1);
        assert_eq!(far("form", "from"), 1);
        assert_eq!(far("kitten", "sitting"), 3);
    }

    #[test]
    fn prefers_the_nearest() {
        assert_eq!(nearest("lhits", ["lhist", "hist", "list"]), Some("lhist"));
        assert_eq!(nearest("COMM", ["cmm", "comm"]), Some("comm"));
        assert_eq!(nearest("pid", ["pid"]), None);
        assert_eq!(nearest("$cuont", ["$count", "$amount"]), Some("$count"));
        assert_eq!(nearest("a", ["b", "c"]), None);
        assert_eq!(nearest("", ["b"]), None);
    }
}
