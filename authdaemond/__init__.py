"""Identity: the authentication daemon, its protocol and client, its back ends and the userdb tools."""
