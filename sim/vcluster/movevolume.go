package vcluster
