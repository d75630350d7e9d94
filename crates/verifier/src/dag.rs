//! Where values come from: the graph that says which values, and which stack slots, a verdict rests on.
//!
//! A program point that was found safe once need not be followed again with other values if those do not matter.
//! Each scalar carries a node; the node of a result has those of its operands as parents, and every checkpoint puts
//! a fresh node between a value and its past. When a value decides something (an address, a size, a branch), its
//! node is marked, and with it all that it was made of. A checkpoint's value matters exactly if its node is marked.
//! Stack slots carry a second node that is marked when they are read.

/// A node. The root has no parents and cannot be marked: it stands for constants and for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Node(u32);

impl Node {
    pub(crate) const ROOT: Node = Node(0);
}

#[derive(Debug)]
pub(crate) struct Dag {
    parents: Vec<[Node; 2]>,
    marked: Vec<bool>,
    work: Vec<Node>,
}

impl Dag {
    pub(crate) fn new() -> Dag {
        Dag {
            parents: vec![[Node::ROOT; 2]],
            marked: vec![true],
            work: Vec::new(),
        }
    }

    /// A node between `a`, `b` and what will be made of them.
    pub(crate) fn fresh(&mut self, a: Node, b: Node) -> Node {
        let node = Node(u32::try_from(self.parents.len()).unwrap_or(0));
        self.parents.push([a, b]);
        self.marked.push(false);
        node
    }

    /// The node of what is made of both: one of them if the other is the root.
    pub(crate) fn join(&mut self, a: Node, b: Node) -> Node {
        if a == b || b == Node::ROOT {
            a
        } else if a == Node::ROOT {
            b
        } else {
            self.fresh(a, b)
        }
    }

    pub(crate) fn mark(&mut self, node: Node) {
        self.work.push(node);
        while let Some(n) = self.work.pop() {
            let index = n.0 as usize;
            if let (Some(marked), Some(parents)) =
                (self.marked.get_mut(index), self.parents.get(index))
                && !*marked
            {
                *marked = true;
                self.work.extend(parents);
            }
        }
    }

    /// Whether the node was marked. The root counts as not marked.
    pub(crate) fn is_marked(&self, node: Node) -> bool {
        node != Node::ROOT && self.marked.get(node.0 as usize).copied().unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_flow_to_the_past_only() {
        let mut dag = Dag::new();
        let a = dag.fresh(Node::ROOT, Node::ROOT);
        let b = dag.fresh(Node::ROOT, Node::ROOT);
        let sum = dag.join(a, b);
        let later = dag.fresh(sum, Node::ROOT);
        dag.mark(sum);
        assert!(dag.is_marked(a) && dag.is_marked(b) && dag.is_marked(sum));
        assert!(!dag.is_marked(later) && !dag.is_marked(Node::ROOT));
        assert_eq!(dag.join(Node::ROOT, a), a);
    }
}
