//! Cycles and costs of a graph. All of it recurses as deep as the graph is long and runs on the compile
//! thread, which has the stack for it.

use super::{Node, Reached};

/// For every node the number of the cycle it is on; nodes on no common cycle have different numbers.
/// (Tarjan's strongly connected components.)
pub(super) fn cycles(nodes: &[Node]) -> Vec<usize> {
    let count = nodes.len();
    let mut search = Search {
        nodes,
        found: vec![None; count],
        lowest: vec![0; count],
        open: Vec::new(),
        component: vec![usize::MAX; count],
        next: 0,
    };
    for node in 0..count {
        if search.found[node].is_none() {
            search.visit(node);
        }
    }
    search.component
}

struct Search<'a> {
    nodes: &'a [Node],
    found: Vec<Option<usize>>,
    lowest: Vec<usize>,
    open: Vec<usize>,
    component: Vec<usize>,
    next: usize,
}

impl Search<'_> {
    fn visit(&mut self, node: usize) {
        let index = self.next;
        self.next += 1;
        self.found[node] = Some(index);
        self.lowest[node] = index;
        self.open.push(node);
        for edge in 0..self.nodes[node].edges.len() {
            let to = self.nodes[node].edges[edge].to;
            match self.found[to] {
                None => {
                    self.visit(to);
                    self.lowest[node] = self.lowest[node].min(self.lowest[to]);
                }
                Some(earlier) if self.component[to] == usize::MAX => {
                    self.lowest[node] = self.lowest[node].min(earlier);
                }
                Some(_) => {}
            }
        }
        if self.lowest[node] == index {
            while let Some(member) = self.open.pop() {
                self.component[member] = node;
                if member == node {
                    break;
                }
            }
        }
    }
}

/// Whether any node is on a cycle.
pub(super) fn is_recursive(nodes: &[Node], cycles: &[usize]) -> bool {
    nodes.iter().enumerate().any(|(from, node)| node.edges.iter().any(|edge| cycles[from] == cycles[edge.to]))
}

/// A node that leads back to itself without reaching a deeper value.
pub(super) fn endless(nodes: &[Node]) -> Option<usize> {
    let same: Vec<Node> = nodes
        .iter()
        .map(|node| Node {
            pointer: String::new(),
            edges: node
                .edges
                .iter()
                .filter(|edge| edge.reach == Reached::Same)
                .map(|edge| super::Edge { to: edge.to, reach: Reached::Same })
                .collect(),
        })
        .collect();
    let cycles = cycles(&same);
    (0..same.len()).find(|&from| same[from].edges.iter().any(|edge| cycles[from] == cycles[edge.to]))
}

/// The most schemas applied to one value in a row; the graph must have no endless node.
pub(super) fn longest_chain(nodes: &[Node]) -> usize {
    let mut known = vec![None; nodes.len()];
    (0..nodes.len()).map(|node| chain(nodes, node, &mut known)).max().unwrap_or(0)
}

fn chain(nodes: &[Node], node: usize, known: &mut [Option<usize>]) -> usize {
    if let Some(length) = known[node] {
        return length;
    }
    let same = nodes[node].edges.iter().filter(|edge| edge.reach == Reached::Same);
    let length = 1 + same.map(|edge| chain(nodes, edge.to, known)).max().unwrap_or(0);
    known[node] = Some(length);
    length
}

/// How many schemas the largest node comes to when references are written out. Edges along a cycle count
/// once: the compiler remembers the outcome of those for each value.
pub(super) fn unfolded(nodes: &[Node], cycles: &[usize]) -> usize {
    let mut known = vec![None; nodes.len()];
    (0..nodes.len()).map(|node| unfold(nodes, cycles, node, &mut known)).max().unwrap_or(0)
}

fn unfold(nodes: &[Node], cycles: &[usize], node: usize, known: &mut [Option<usize>]) -> usize {
    if let Some(size) = known[node] {
        return size;
    }
    let mut size: usize = 1;
    for edge in &nodes[node].edges {
        let inner = if cycles[edge.to] == cycles[node] { 1 } else { unfold(nodes, cycles, edge.to, known) };
        size = size.saturating_add(inner);
    }
    known[node] = Some(size);
    size
}
