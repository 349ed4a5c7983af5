#!/bin/bash
set -e
sh api/start.sh
./desk find_customer email=joana.lindqvist@example.com
./desk list_orders customer=C-1043
./desk get_order order=O-70552
./desk check_credits customer=C-1043
./desk issue_refund order=O-70552 amount=36.90
./desk forward_ticket ticket=T-8812 team=privacy
./desk close_ticket ticket=T-8812 reply="We have refunded 36.90 EUR for the broken glasses; our privacy team will contact you."
