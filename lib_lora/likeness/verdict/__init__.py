"""From measurements to facts, and from facts to one verdict with one piece of advice."""
