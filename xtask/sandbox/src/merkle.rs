//! The tree of RFC 6962: leaves, roots, inclusion proofs.

use ring::digest::{Context, SHA256};

pub(crate) type Hash = [u8; 32];

/// The hash of a leaf.
pub(crate) fn leaf_hash(data: &[u8]) -> Hash {
    hash(&[&[0], data])
}

/// The hash of the tree over these leaves.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_size(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from a leaf to the root, bottom first.
pub(crate) fn inclusion_proof(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(left_size(leaves.len()));
    let (mut proof, sibling) = match index.checked_sub(left.len()) {
        None => (inclusion_proof(index, left), root(right)),
        Some(index) => (inclusion_proof(index, right), root(left)),
    };
    proof.push(sibling);
    proof
}

/// The largest power of two smaller than the size.
fn left_size(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162, section 2.1.3.2.
    fn verifies(index: usize, size: usize, leaf: Hash, proof: &[Hash], expected: Hash) -> bool {
        let (mut position, mut last, mut reached) = (index, size - 1, leaf);
        for sibling in proof {
            if last == 0 {
                return false;
            }
            if position % 2 == 1 || position == last {
                reached = node(sibling, &reached);
                while position % 2 == 0 && position != 0 {
                    position /= 2;
                    last /= 2;
                }
            } else {
                reached = node(&reached, sibling);
            }
            position /= 2;
            last /= 2;
        }
        last == 0 && reached == expected
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven() {
        let leaves: Vec<Hash> = (0_u8..20).map(|leaf| leaf_hash(&[leaf])).collect();
        for size in 1..=leaves.len() {
            let tree = &leaves[..size];
            for index in 0..size {
                let proof = inclusion_proof(index, tree);
                assert!(verifies(index, size, tree[index], &proof, root(tree)), "{index} of {size}");
                assert!(!verifies(index, size, leaf_hash(b"other"), &proof, root(tree)));
            }
        }
    }

    #[test]
    fn the_empty_tree_has_the_hash_of_nothing() {
        assert_eq!(crate::hex(&root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
