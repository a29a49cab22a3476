struct ListNode {
    int val;
    ListNode *next;
    ListNode(int value = 0, ListNode *after = nullptr) : val(value), next(after) {}
};
