"""Access control: users, their access keys and policies, as the configuration declares them.

`declared_users` reads the table `users` of the file, `key_pair` the environment; both add to a
`user_set`, which checks the rules between users and makes the immutable `users.Users`.
"""
