//! Hashes large appends before they reach the writer, against the version they will meet.

use sha2::{Digest, Sha256};

use super::Engine;
use crate::store::{Behind, Body, Head, NewBytes, Refusal, Verb, Write};

impl Engine {
    /// The same write, each staged append with the hash that its world will have. When somebody
    /// else writes first the writer hashes for itself.
    pub(super) async fn hashed(&self, mut write: Write) -> Result<Write, Refusal> {
        for op in &mut write.ops {
            let Verb::Append { body } = &mut op.verb else { continue };
            let NewBytes::Staged(staged) = &body.bytes else { continue };
            let Some(head) = self.head(&op.path).await? else { continue };
            let Some(mut hash) = self.hash_so_far(&head).await else { continue };
            let bytes =
                Head { size: body.size, body: Body::Object(staged.clone()), ..(*head).clone() };
            // What cannot be read is for the writer to say.
            if self.hash(&bytes, &mut hash).await.is_ok() {
                body.behind = Some(Behind { seq: head.seq, hash });
            }
        }
        Ok(write)
    }

    /// The running hash over a body, read again when it was not kept; none when the body is not the
    /// one that was audited.
    async fn hash_so_far(&self, head: &Head) -> Option<Sha256> {
        if let Some(hash) = &head.hash_state {
            return Some(hash.clone());
        }
        let mut hash = Sha256::new();
        self.hash(head, &mut hash).await.ok()?;
        let found: [u8; 32] = hash.clone().finalize().into();
        (found == head.body_sha256).then_some(hash)
    }

    async fn hash(&self, head: &Head, hash: &mut Sha256) -> Result<(), Refusal> {
        let mut reader = self.read(head, 0, head.size);
        while let Some(bytes) = reader.next().await? {
            hash.update(&bytes);
        }
        Ok(())
    }
}
