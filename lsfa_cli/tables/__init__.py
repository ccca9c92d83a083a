"""Result tables in every format, and the published figures to compare with."""
