//! Names of users, from the password file.

use std::collections::HashMap;

const PASSWD: &str = "/etc/passwd";

/// The users of the machine, read when the first name is asked for.
#[derive(Debug, Default)]
pub struct Users {
    names: Option<HashMap<u64, String>>,
}

impl Users {
    /// The name of a user, the number where there is none.
    pub fn name(&mut self, uid: u64) -> String {
        let names = self
            .names
            .get_or_insert_with(|| parse(&std::fs::read(PASSWD).unwrap_or_default()));
        names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// Reads passwd(5): the first line of a number wins.
fn parse(passwd: &[u8]) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(passwd).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(uid))) = (
            fields.next(),
            fields.next(),
            fields.next().map(str::parse::<u64>),
        ) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let names =
            parse(b"root:x:0:0::/root:/bin/sh\nbad line\ntoor:x:0:0::/:/bin/sh\nme:x:1000:1000\n");
        let mut users = Users { names: Some(names) };
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(1000), "me");
        assert_eq!(users.name(77), "77");
    }
}
